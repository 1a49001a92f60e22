"""The picture as an SVG: a lane for each process, with the artifacts it made and cleaned.

matplotlib draws it, because one drawing gives a small SVG with real text that needs no
browser, script or network; plotly, the alternative, puts four megabytes of script into each
page, and needs a browser to make an SVG.

Tested by: tests/cli/test_picture.py, tests/cli/test_timeline.py
"""

from __future__ import annotations

import re
from html import escape
from io import StringIO
from itertools import zip_longest
from logging import ERROR, getLogger

from ..tables import escape_unprintable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

    from .history import ArtifactEvent, ProcessLane, ScopeHistory

_COLORS: Final = {
    "directory": "#3b82c4",
    "file": "#4fa3a5",
    "socket": "#8a6fc0",
    "shared_memory": "#c77f2e",
    "semaphore": "#a8893a",
    "popen": "#c0527a",
    "command": "#6f9a3c",
    "callback": "#94794f",
}
_OTHER: Final = "#808080"
_INK: Final = "#1f2328"
_BAR: Final = "#b8c4d0"
_DEATH: Final = "#cf3b3b"
# A background of its own, because a page may be light for a reader who prefers it dark.
PAPER: Final = "#fdfdfd"
# Elements with these colours change them for readers who prefer dark pages.
DARK: Final = {_INK: "#e6edf3", _BAR: "#4a5663", PAPER: "#14171b"}
_BINS: Final = 400  # marks of the same kind that are nearer than this are drawn as one
_LONGEST: Final = 46  # letters of a lane's label
_TITLE: Final = 80  # letters of the title


def draw_history(title: str, past: ScopeHistory) -> str:
    """The history as an SVG, with tips that are seen under the pointer."""
    # Silent, because matplotlib warns each time if it cannot store its list of fonts.
    getLogger("matplotlib").setLevel(ERROR)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    tips: dict[str, str] = {}
    plain: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "lastout",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": _INK,
        "text.parse_math": False,
        "axes.edgecolor": _BAR,
        "axes.facecolor": "none",
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
    }
    with mpl.rc_context(plain):
        figure = Figure((10, 2 + 0.55 * len(past.lanes)), layout="constrained", facecolor=PAPER)
        layout: Any = figure.get_layout_engine()
        layout.set(w_pad=0.12, h_pad=0.12)  # inches: the browser has other letters
        axes: Any = figure.add_subplot()
        for number, lane in enumerate(past.lanes):
            _draw_lane(axes, number, lane, past, tips)
        for below, events in _gathered(past):
            _draw_events(axes, below, events, past, tips)
        _draw_frame(axes, title, past)
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return _finished(out.getvalue(), tips)


def _draw_lane(
    axes: Any, number: int, lane: ProcessLane, past: ScopeHistory, tips: dict[str, str]
) -> None:
    begin, seen, end = (seconds_since_begin(ns, past) for ns in (lane.begin, lane.seen, lane.end))
    solid = seen if lane.how == "died" else end
    axes.plot([begin, solid], [number] * 2, color=_BAR, lw=9, solid_capstyle="butt", zorder=1)
    if lane.how == "died":
        axes.plot([solid, end], [number] * 2, color=_DEATH, lw=1.5, ls=":", zorder=1)
        [mark] = axes.plot([end], [number], marker="X", ms=9, color=_DEATH, mec="none", zorder=4)
        text = f"{lane.label}: killed between {solid:.3f} s and {end:.3f} s"
    elif lane.how == "alive":
        [mark] = axes.plot([end], [number], marker=">", ms=8, color=_BAR, mec="none", zorder=2)
        text = f"{lane.label}: alive"
    else:
        [mark] = axes.plot([end], [number], marker="|", ms=13, mew=2, color=_INK, zorder=2)
        text = f"{lane.label}: {lane.how} at {end:.3f} s"
    _tip(mark, text, tips)


def _gathered(past: ScopeHistory) -> Iterable[tuple[int, list[ArtifactEvent]]]:
    """Groups of events of one kind that would overlap, and how many kinds are below each."""
    width = max(1, (past.end - past.begin) // _BINS)
    found: dict[tuple[object, ...], dict[str, list[ArtifactEvent]]] = {}
    for event in past.events:
        place = event.lane, event.verb, (event.ns - past.begin) // width
        found.setdefault(place, {}).setdefault(event.kind, []).append(event)
    return (pair for kinds in found.values() for pair in enumerate(kinds.values()))


def _draw_events(
    axes: Any, below: int, events: list[ArtifactEvent], past: ScopeHistory, tips: dict[str, str]
) -> None:
    first = events[0]
    when, color = seconds_since_begin(first.ns, past), _COLORS.get(first.kind, _OTHER)
    made = first.verb == "made"
    look = {"marker": "^", "mfc": color} if made else {"marker": "s", "mfc": "none"}
    # Makes are above the lane, cleanups below it.
    height = first.lane + (-1 if made else 1) * (0.24 + 0.18 * below)
    [mark] = axes.plot([when], [height], ms=6, mec=color, mew=1.4, ls="", zorder=3, **look)
    for other in {event.owner for event in events} - {first.lane}:
        axes.plot([when] * 2, [other, height], color=color, lw=0.7, alpha=0.6, zorder=0)
    several = f"{len(events)} \N{MULTIPLICATION SIGN} {first.kind}, the first: {first.what}"
    text = f"{first.kind} {first.what}" if len(events) == 1 else several
    _tip(mark, f"{first.verb} {text}, at {when:.3f} s", tips)


def _draw_frame(axes: Any, title: str, past: ScopeHistory) -> None:
    from matplotlib.lines import Line2D

    labels = [_short(lane.label) for lane in past.lanes]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel("seconds since the first member joined")
    axes.figure.suptitle(_short(title, _TITLE), x=0.01, ha="left", fontweight="bold")
    axes.tick_params(left=False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)

    def key(label: str, **look: Any) -> Any:
        return Line2D([], [], label=label, **{"ls": "", "color": _INK, "ms": 6, **look})

    marks = [
        key("made", marker="^"),
        key("cleaned", marker="s", mfc="none", mew=1.4),
        key("out", marker="|", ms=10, mew=2),
        key("killed", marker="X", color=_DEATH, mec="none", ms=8),
    ]
    kinds = [
        key(escape_unprintable(kind), marker="o", color=_COLORS.get(kind, _OTHER))
        for kind in dict.fromkeys(event.kind for event in past.events)
    ]
    # Filled column by column: marks in the first row, kinds in the second.
    pairs = zip_longest(marks, kinds, fillvalue=key(""))
    axes.figure.legend(
        handles=[one for pair in pairs for one in pair],
        loc="outside lower left",
        ncols=max(len(marks), len(kinds)),
        frameon=False,
        handletextpad=0.1,
        columnspacing=1.2,
    )


def seconds_since_begin(ns: int, past: ScopeHistory) -> float:
    """Seconds from the joining of the first member to `ns`."""
    return (ns - past.begin) / 1e9


def _short(text: str, longest: int = _LONGEST) -> str:
    text = escape_unprintable(text)
    return text if len(text) <= longest else f"{text[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def _tip(mark: Any, text: str, tips: dict[str, str]) -> None:
    name = f"tip{len(tips)}"
    mark.set_gid(name)
    tips[name] = escape_unprintable(text)


def _finished(svg: str, tips: dict[str, str]) -> str:
    """Without the XML header, with tips to be seen under the pointer, readable in the dark."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(
        r'<g id="(tip\d+)">',
        lambda found: f"{found[0]}<title>{escape(tips[found[1]])}</title>",
        svg,
    )
    dark = "".join(
        f'[style*="fill: {light}"]{{fill:{color}!important}}'
        f'[style*="stroke: {light}"]{{stroke:{color}!important}}'
        for light, color in DARK.items()
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{dark}}}</style>"
    end_of_tag = svg.index(">") + 1
    return f"{svg[:end_of_tag]}\n{style}{svg[end_of_tag:]}"

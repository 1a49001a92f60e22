"""Draw the results: `python -m benchmarks.plots results.json DIRECTORY` makes its SVG files.

Each drawing has no background and lines of middling brightness, so that it can
be read on white and on black.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from .measure import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes

    Fact = dict[str, Any]  # a line, as `Line.facts` has it

GREY = "#7b7b7b"
OURS = "#d9622b"
RIVALS = ("#3b86c4", "#4d9a57", "#a468c0")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and needs no font of ours
    "svg.hashsalt": "lastout",  # the same results make the same file
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": GREY,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}
# What grows: what it grows with, and what the seconds are of.
GROWTH = {
    "register + unregister among {}": ("handlers", "one register + unregister"),
    "register and run, each of {}": ("handlers", "registering and running one"),
    "record, each of {}": ("records", "recording one artifact"),
    "reap {} files": ("files", "reaping all files of a killed member"),
    "alive? each of {}": ("members", "asking whether one is alive"),
    "join + leave, beside {} members": ("members", "joining and leaving"),
    "reap each of {} directories": ("directories", "reaping one directory"),
}


def main() -> int:
    """Draw everything that the results hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plots", description=__doc__)
    parser.add_argument("results", type=Path, help="made by `python -m benchmarks --json`")
    parser.add_argument("directory", type=Path, help="where the drawings go")
    options = parser.parse_args()
    facts = [
        line
        for subject in json.loads(options.results.read_text())["subjects"].values()
        for line in subject["lines"]
    ]
    options.directory.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, figure in drawings(facts):
            file = options.directory / f"{name}.svg"
            figure.savefig(file, transparent=True, bbox_inches="tight", metadata={"Date": None})
            print(file)
    return 0


def drawings(facts: list[Fact]) -> Iterator[tuple[str, Figure]]:
    """The drawings and their names: budgets, how costs grow, a crowd, whole programs."""
    yield "budgets", budgets([fact for fact in facts if fact.get("limits")])
    yield "growth", growth(facts)
    yield "crowd", crowd([fact for fact in facts if fact["what"].endswith(", {} processes")])
    yield "whole", whole([fact for fact in facts if fact["what"].endswith(": whole")])


def budgets(facts: list[Fact]) -> Figure:
    """How much of its budget each line uses."""
    figure = Figure(figsize=(8, 0.42 * len(facts) + 0.9))
    axes = figure.subplots()
    names = [f"{_title(fact)}\nbeside {fact['rival']}" for fact in facts][::-1]
    used = [float(fact["used"]) for fact in facts][::-1]
    axes.barh(names, used, color=[OURS if share > 1 else RIVALS[0] for share in used], height=0.6)
    axes.axvline(1, color=GREY, linewidth=1.5)
    for place, share in enumerate(used):
        axes.annotate(
            f"{share:.0%}", (share, place), (4, 0), textcoords="offset points", va="center"
        )
    axes.set_xscale("log")
    axes.set_xlim(min(0.1, *used) / 2, max(2, *used) * 2)
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.tick_params(axis="y", labelsize=9, length=0)
    axes.set_xlabel("of the budget (less is better)")
    return figure


def growth(facts: list[Fact]) -> Figure:
    """One small drawing for each thing that grows."""
    found = {what: [fact for fact in facts if fact["what"] == what] for what in GROWTH}
    found = {what: lines for what, lines in found.items() if lines}
    rows = -(-len(found) // 2)
    figure = Figure(figsize=(8.5, 2.9 * rows), layout="constrained")
    grid = list(figure.subplots(rows, 2, squeeze=False).flat)
    for axes, (what, lines) in zip(grid, found.items(), strict=False):
        things, title = GROWTH[what]
        _curves(axes, lines)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel(things)
    for axes in grid[len(found) :]:
        axes.set_axis_off()
    return figure


def _curves(axes: Axes, lines: list[Fact]) -> None:
    """Ours and each rival's seconds against the size, with the quartiles around."""
    by_rival = {
        rival: sorted(group, key=lambda line: line["size"])
        for rival, group in groupby(sorted(lines, key=_rival), _rival)
    }
    curves = {"lastout": (next(iter(by_rival.values())), "ours", OURS)}
    for (rival, group), colour in zip(by_rival.items(), RIVALS, strict=False):
        curves[rival] = (group, "its", colour)
    for name, (group, whose, colour) in curves.items():
        sizes = [line["size"] for line in group]
        spreads = [line[whose] for line in group]
        axes.plot(
            sizes, [spread["median"] for spread in spreads], "o-", color=colour, ms=3.5, label=name
        )
        axes.fill_between(
            sizes,
            [spread.get("low", spread["median"]) for spread in spreads],
            [spread.get("high", spread["median"]) for spread in spreads],
            color=colour,
            alpha=0.25,
            linewidth=0,
        )
    _logarithmic(axes)


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if _is_narrow(axes) else (1,)))
    axes.xaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
    axes.yaxis.set_major_formatter(lambda seconds, _: in_words(seconds))
    axes.minorticks_off()
    axes.grid(visible=True)
    axes.legend(fontsize=9)


def _is_narrow(axes: Axes) -> bool:
    """Whether so little is shown that powers of ten alone would leave it without figures."""
    low, high = axes.get_ylim()
    return high < 50 * low


def _rival(fact: Fact) -> str:
    return str(fact["rival"])


def crowd(facts: list[Fact]) -> Figure:
    """The cost of one record on one core, with more and more processes at once."""
    figure = Figure(figsize=(8, 3.4))
    axes = figure.subplots()
    whats = sorted({fact["what"] for fact in facts}, key=lambda what: not what.startswith("record"))
    for what, colour in zip(whats, (OURS, *RIVALS), strict=False):
        lines = sorted((f for f in facts if f["what"] == what), key=lambda line: line["size"])
        sizes = [1, *(line["size"] for line in lines)]
        seconds = [lines[0]["its"]["median"], *(line["ours"]["median"] for line in lines)]
        name = "lastout" if what.startswith("record") else what.removesuffix(", {} processes")
        axes.plot(sizes, seconds, "o-", color=colour, ms=3.5, label=name)
    _logarithmic(axes)
    axes.set_xticks([1, 2, 4, 8, 16])
    axes.set_xlabel("processes that record at once")
    axes.set_ylabel("one record, on one core")
    return figure


def whole(facts: list[Fact]) -> Figure:
    """Whole programs: their seconds from start to end, by start method."""
    bars = list(_programs(facts))
    figure = Figure(figsize=(8, 0.36 * len(bars) + 0.8))
    axes = figure.subplots()
    for name, spread in reversed(bars):
        around = [[spread["median"] - spread["low"]], [spread["high"] - spread["median"]]]
        colour = OURS if "lastout" in name or "scope" in name else RIVALS[0]
        axes.barh(name, spread["median"], xerr=around, color=colour, ecolor=GREY, height=0.6)
    axes.xaxis.set_major_formatter(lambda seconds, _: in_words(seconds) if seconds else "0")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("from start to end: a pool of four workers, sixteen tasks")
    return figure


def _programs(facts: list[Fact]) -> Iterator[tuple[str, dict[str, float]]]:
    """Each program with its start method; the one without anything comes first."""
    for method, group in groupby(facts, lambda fact: _title(fact).split(", ")[1]):
        lines = list(group)
        start_method = method.removesuffix(": whole")
        yield f"{lines[0]['rival']}, {start_method}", lines[0]["its"]
        for line in lines:
            yield f"{line['what'].split(', ')[0]}, {start_method}", line["ours"]


def _title(fact: Fact) -> str:
    return str(fact["what"]).replace("{}", f"{fact['size']:,}" if fact["size"] else "")


if __name__ == "__main__":
    sys.exit(main())

"""The picture as a browser shows it: rendered headless, and looked at pixel by pixel."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from lastout._scopes.records import journal
from lastout.cli.timeline.history import read_history
from lastout.cli.timeline.picture import write_picture

from .test_history import made, mark, member
from .test_timeline import keeps_fonts

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

    from .test_list_show import Run

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--hide-scrollbars",
]
DARK = "--blink-settings=preferredColorScheme=0"
KINDS = {
    "directory": "#3b82c4",
    "file": "#4fa3a5",
    "socket": "#8a6fc0",
    "shared_memory": "#c77f2e",
    "semaphore": "#a8893a",
    "popen": "#c0527a",
    "command": "#6f9a3c",
    "callback": "#94794f",
}
KILLED = "#cf3b3b"
LIGHT, INK = "#fdfdfd", "#1f2328"
NIGHT, CHALK = "#14171b", "#e6edf3"

pytestmark = keeps_fonts


@pytest.fixture(params=["svg", "html"])
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two processes that made one thing of each kind; one was killed. All names are long."""
    long = "a long name " * 20
    journals = {}
    for token, pid in (("a", 1), ("b", 2)):
        things = [made(1000 * n, n, kind) for n, kind in enumerate(KINDS, 1)]
        journals[token] = member(token, pid, 10) + b"".join(things)
    done = [mark("done", n, 9000 + 500 * n, 2) for n in range(1, len(KINDS) + 1)]
    journals["a"] += b"".join(done)
    journals["b"] += b"".join(done) + journal.left(14_000)
    past = read_history(journals, 15_000, names={1: long, 2: long})
    file = tmp_path / f"x.{request.param}"
    write_picture(long, past, str(file))
    return file


def test_it_asks_nobody(picture: Path) -> None:
    """Nothing in it refers to another file, here or elsewhere."""
    text = picture.read_text()
    assert set(re.findall(r"""(?:src|href)\s*=\s*["']?(.)""", text)) <= {"#"}
    assert set(re.findall(r"""url\(\s*["']?(.)""", text)) <= {"#"}
    assert "@import" not in text
    assert "<script" not in text


@pytest.mark.skipif(not BROWSER, reason="there is no Chromium to render it with")
@pytest.mark.parametrize(
    ("options", "paper", "ink"), [([], LIGHT, INK), ([DARK], NIGHT, CHALK)], ids=["light", "dark"]
)
def test_it_can_be_seen(
    options: list[str], paper: str, ink: str, picture: Path, run: Run, tmp_path: Path
) -> None:
    """All colours are on it, on paper that the ink is readable on, and nothing is cut off."""
    shown = rendered(picture, options, run, tmp_path)
    colours = {colour for _, colour in shown.getcolors(1 << 24) or []}
    for wanted in (*KINDS.values(), KILLED, paper, ink):
        assert rgb(wanted) in colours, wanted
    # The outermost pixels are blended with what it lies on.
    right, below = (length - 2 for length in shown.size)
    for edge in ((2, 2, right, 4), (2, 2, 4, below), (right - 2, 2, right, below)):
        assert shown.crop(edge).getcolors() == [(edge_size(edge), rgb(paper))], edge


def rendered(picture: Path, options: list[str], run: Run, tmp_path: Path) -> Image:
    """A screenshot of it, as large as the drawing."""
    from PIL import Image  # matplotlib brings it

    found = re.search(r'<svg[^>]* width="([\d.]+)pt" height="([\d.]+)pt"', picture.read_text())
    assert found
    width, height = (round(float(points) * 96 / 72) for points in found.groups())
    shot = tmp_path / "shot.png"
    # Whatever it leaves running is ended.
    command = ["run", "--timeout", "90", "--", BROWSER, *QUIET, *options]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},{height}"]
    ended = run(*command, f"--screenshot={shot}", picture.as_uri())
    assert shot.exists(), ended
    with Image.open(shot) as image:
        return image.convert("RGB")


def rgb(colour: str) -> tuple[int, ...]:
    """Its red, green and blue."""
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def edge_size(edge: tuple[int, int, int, int]) -> int:
    """How many pixels there are in it."""
    left, top, right, bottom = edge
    return (right - left) * (bottom - top)

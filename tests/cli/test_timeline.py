"""The picture: `show --timeline` and `run --timeline`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

import lastout
from lastout._scopes.records import journal
from lastout.cli.timeline.history import read_history
from lastout.cli.timeline.picture import check_picture, write_picture
from lastout.errors import UsageError

from .test_history import made, mark, member
from .test_list_show import killed

if TYPE_CHECKING:
    from pathlib import Path

    from .test_list_show import Run

__all__ = ["killed"]  # a fixture
keeps_fonts = pytest.mark.leaks(
    "descriptors", "threads", reason="matplotlib keeps its fonts open, and a timer for its list"
)
SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    """All that can be read in a picture."""
    return [one.text or "" for one in ET.fromstring(picture).iter(f"{SVG}text")]


def tips(picture: str) -> list[str]:
    """All that is shown under the pointer."""
    return [one.text or "" for one in ET.fromstring(picture).iter(f"{SVG}title")]


def counted(verb: str, kind: str, tips: list[str]) -> int:
    """How many things of a kind the marks stand for: those that would lie on each other are one."""
    told = re.compile(rf"{verb} (?:(\d+) \N{{MULTIPLICATION SIGN}} )?{kind}\b")
    return sum(int(found[1] or 1) for tip in tips if (found := told.match(tip)))


def test_what_happened_so_far(run: Run, killed: Path, tmp_path: Path) -> None:
    """The picture of a scope has a lane for its member, what that made, and how it ended."""
    file = tmp_path / "s.svg"
    assert run("show", "s", "--timeline", file) == (0, "", "")
    picture = file.read_text()
    assert "scope s" in texts(picture)
    assert any(text.startswith("pid ") for text in texts(picture))
    kinds = {found[1] for tip in tips(picture) if (found := re.match(r"made (\w+)", tip))}
    assert kinds == {"directory", "file", "shared_memory", "popen"}
    assert sum("killed between" in tip for tip in tips(picture)) == 1
    assert killed.exists(), "it only looks"
    assert run("reap").status == 0


@keeps_fonts
def test_a_page_stands_by_itself(tmp_path: Path) -> None:
    """The page needs no other file and no network, and tells in a table what is in the picture."""
    data = member("a", 1, 10) + made(20, 1) + mark("done", 1, 30, 2)
    write_picture("<b> & $x$", read_history({"a": data}, 50), str(tmp_path / "x.html"))
    page = (tmp_path / "x.html").read_text()
    assert "<title>&lt;b&gt; &amp; $x$</title>" in page
    assert not re.search(r"""(src|href)=["']?(https?:|//|/)""", page.split("<figure>")[1])
    assert "<script" not in page
    assert page.count("<tr>") == 3
    assert "/file1" in page
    assert "<b> & $x$" in texts(page[page.index("<svg") : page.index("</svg>") + 6])


@keeps_fonts
def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    """Whatever a path is called, in the page it is text."""
    evil = '/<script>alert("x")</script>\x1b$\\frac{'
    line = journal.made(20, 1, "file", evil, "scope", (), {})
    for name in ("x.html", "x.svg"):
        write_picture(
            evil, read_history({"a": member("a", 1, 10) + line}, 50), str(tmp_path / name)
        )
        text = (tmp_path / name).read_text()
        assert "<script" not in text
        assert "\x1b" not in text


@keeps_fonts
def test_ten_thousand_things_are_a_small_picture(tmp_path: Path) -> None:
    """Things that would lie on each other are one mark, which says how many they are."""
    data = member("a", 1, 10) + b"".join(made(20 + n, n) for n in range(1, 10_001))
    write_picture("many", read_history({"a": data}, 20_000), str(tmp_path / "x.svg"))
    picture = (tmp_path / "x.svg").read_text()
    assert len(picture) < 400_000
    counts = re.findall(r"<title>made (\d+) \W file", picture)
    assert sum(map(int, counts)) == 10_000


def test_a_whole_run(run: Run, tmp_path: Path) -> None:
    """`run --timeline` tells of all that came and went, in the program's own scopes too."""
    code = """
import lastout, multiprocessing, os, signal, time

def work(kill):
    scope = lastout.current_scope()
    scope.directory(lifetime="member")
    # Who is in for some milliseconds only may be missed.
    while not set(journals(scope.path)) <= set(open_by(run)):
        time.sleep(0.005)
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)

def journals(path):
    return [f"{path}/{name}" for name in os.listdir(path) if name.endswith(".journal")]

def open_by(pid):
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            pass

run = os.getppid()
with lastout.Scope() as own:
    own.directory()
    for kill in (False, True):
        worker = multiprocessing.get_context("fork").Process(target=work, args=(kill,))
        worker.start()
        worker.join()
    lastout.reap()
print(os.getpid())
"""
    file = tmp_path / "x.svg"
    shown = run("run", "--timeline", file, "--", sys.executable, "-c", code)
    assert shown.status == 0, shown.err
    assert shown.err == ""
    picture = file.read_text()
    lanes = [text for text in texts(picture) if text.startswith("pid ")]
    assert len(lanes) == 4, lanes
    assert lanes[0].endswith("lastout run")
    assert lanes[1].startswith(f"pid {shown.out.strip()} python")
    ended = tips(picture)
    assert sum("killed" in tip for tip in ended) == 1
    assert counted("cleaned", "directory", ended) == 3
    assert os.listdir(os.environ["LASTOUT_ROOT"]) == []


def test_the_program_keeps_its_status(run: Run, tmp_path: Path) -> None:
    """Where the picture cannot be written in the end, that is said, and the status is its own."""
    place = tmp_path / "place"
    place.mkdir()
    script = f"rmdir '{place}'; exit 3"
    shown = run("run", "--timeline", place / "x.svg", "--", "sh", "-c", script)
    assert shown.status == 3
    assert "cannot write the picture" in shown.err
    assert run("run", "--timeline", tmp_path / "x.svg", "--", "no-such-program").status == 127
    assert (tmp_path / "x.svg").exists()


@pytest.mark.parametrize("command", [["show", "s"], ["run"]])
def test_wrong_use(command: list[str], run: Run, tmp_path: Path) -> None:
    """A file that is neither .svg nor .html is status 2, before anything is run."""
    with lastout.Scope("s"):
        more = ["--", "echo", "ran"] if command == ["run"] else []
        shown = run(*command, "--timeline", tmp_path / "x.png", *more)
    assert (shown.status, shown.out) == (2, "")
    assert "must end in .svg or .html" in shown.err


def test_nowhere_to_write_it(run: Run, tmp_path: Path) -> None:
    """Where the picture could not be written, nothing is run: status 2, and what is wrong."""
    (tmp_path / "x.svg").mkdir()
    for file, why in (("nowhere/x.svg", "there is no directory"), ("x.svg", "it is a directory")):
        shown = run("run", "--timeline", tmp_path / file, "--", "echo", "ran")
        assert (shown.status, shown.out) == (2, "")
        assert why in shown.err


def test_only_one_way_to_show_it(run: Run, tmp_path: Path) -> None:
    """`--json` and `--timeline` together are status 2: neither is left out without a word."""
    with lastout.Scope("s"):
        shown = run("show", "s", "--json", "--timeline", tmp_path / "x.svg")
    assert (shown.status, shown.out) == (2, "")
    assert "choose one" in shown.err
    assert not (tmp_path / "x.svg").exists()


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path) -> None:
    """Without the package there is no picture: status 2, and the name of the extra."""
    code = (
        "import sys; sys.modules['matplotlib'] = None; from lastout.cli.main import main;"
        f"sys.exit(main(['run', '--timeline', {str(tmp_path / 'x.svg')!r}, '--', 'true']))"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "lastout[cli]" in ended.stderr


@keeps_fonts
def test_one_that_is_alive(tmp_path: Path) -> None:
    """The lane of a member that lives says so."""
    past = read_history({"a": member("a", 1, 10) + made(20, 1)}, 50, ["a"])
    write_picture("living", past, str(tmp_path / "x.svg"))
    assert "pid 1: alive" in tips((tmp_path / "x.svg").read_text())


def test_a_place_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the picture may not be written is told before anything is run."""
    monkeypatch.setattr(os, "access", lambda *_: False)  # root always may
    with pytest.raises(UsageError, match="you may not write there"):
        check_picture(str(tmp_path / "run.svg"))

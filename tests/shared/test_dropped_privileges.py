"""Root that is given up after a scope was joined, as daemons and their workers do."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program

OTHER = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root")

DROP = f"""
import os, subprocess, sys
import lastout

def say(*words):
    "On standard output: nobody else may open a file of the test."
    print(*words, flush=True)

def drop():
    os.setgroups([])
    os.setgid({OTHER})
    os.setuid({OTHER})

def in_child(do):
    "What a forked child does, that then ends as a program does."
    pid = os.fork()
    if not pid:
        do()
        sys.exit()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

commons = sys.argv[1]
"""


@pytest.fixture
def commons() -> Iterator[Path]:
    """A directory that everybody can reach, and write to."""
    with tempfile.TemporaryDirectory(prefix="lastout-") as directory:
        Path(directory).chmod(0o1777)
        yield Path(directory)


@pytest.fixture
def run(program: Callable[..., Program], commons: Path) -> Callable[[str], list[str]]:
    """Run a script to its good end, without a word on standard error; what it says."""

    def run(text: str) -> list[str]:
        ended = program(DROP + text, args=[str(commons)]).end()
        assert (ended.status, ended.err) == (0, "")
        return ended.out.splitlines()

    return run


@pytest.mark.parametrize("way", ["setuid", "seteuid", "chroot", "chroot and setuid"])
def test_a_child_that_gave_up_root(
    way: str, commons: Path, run: Callable[[str], list[str]]
) -> None:
    """It ends as a member that left does; what was its own its parent cleans, with the rest."""
    said = run(f"""
scope = lastout.Scope("s")
scope.directory(commons + "/shared")

def child():
    scope.directory(commons + "/own", lifetime="member")
    scope.file(commons + "/file", lifetime="member")
    os.mkdir(commons + "/jail")
    if "chroot" in {way!r}:
        os.chroot(commons + "/jail")
    if "seteuid" in {way!r}:
        os.seteuid({OTHER})
    elif "setuid" in {way!r}:
        drop()

say(in_child(child))
report = scope.leave()
say(report.ok, sorted(os.listdir(commons)))
""")
    assert said == ["0", "True ['jail']"]


def test_what_the_child_may_clean(commons: Path, run: Callable[[str], list[str]]) -> None:
    """What it made for itself when it was nobody any more goes at its end; directories later."""
    said = run("""
scope = lastout.Scope("s")

def child():
    scope.file(commons + "/roots", lifetime="member")
    scope.popen(["sleep", "60"], lifetime="member")
    scope.shared_memory(1).close()  # to load what nobody else may read
    drop()
    scope.file(commons + "/mine", lifetime="member")
    scope.directory(commons + "/directory", lifetime="member")
    scope.shared_memory(1, "lastout-dropped", lifetime="member").close()
    say(scope.popen(["sleep", "60"], lifetime="member").pid)
    say([one.status for one in scope.leave()])

say(in_child(child))
say(sorted(os.listdir(commons)), os.path.exists("/dev/shm/lastout-dropped"))
say(sorted(one.kind for one in scope.artifacts()), scope.leave().ok, os.listdir(commons))
""")
    assert not os.path.exists(f"/proc/{said[0]}")
    assert said[1:] == [
        "['done', 'done', 'done']",
        "0",
        "['directory', 'roots'] False",
        "['directory', 'file', 'popen', 'shared_memory'] True []",
    ]


def test_its_children(commons: Path, run: Callable[[str], list[str]]) -> None:
    """Who is forked by a process that gave up root is no member; nothing is said, nothing lost."""
    said = run("""
scope = lastout.Scope("s")
scope.directory(commons + "/shared")

def grandchild():
    try:
        scope.file()
    except lastout.UsageError as error:
        say("refused")

def child():
    drop()
    say(in_child(grandchild))

say(in_child(child), os.path.exists(commons + "/shared"))
say([one.alive for one in scope.members()].count(True))
say(scope.leave().ok, os.listdir(commons))
""")
    assert said == ["refused", "0", "0 True", "1", "True []"]


def test_a_main_that_gave_up_root(commons: Path, run: Callable[[str], list[str]]) -> None:
    """With nobody left who may clean, what it could not clean stays for root's next reap."""
    said = run("""
scope = lastout.Scope("s", wait=30)
scope.directory(commons + "/shared")
scope.file(commons + "/own", lifetime="member")
drop()
scope.file(commons + "/late", lifetime="member")
say("made")
""")
    assert said == ["made"]
    assert sorted(os.listdir(commons)) == ["own", "shared"]
    assert lastout.reap().ok
    assert os.listdir(commons) == []


def test_a_guardian_does_the_rest(commons: Path, run: Callable[[str], list[str]]) -> None:
    """Where the scope has a guardian, what the child could not clean goes within moments."""
    said = run("""
import time
scope = lastout.Scope("s", guardian=True)

def child():
    scope.directory(commons + "/own", lifetime="member")
    drop()

say(in_child(child))
until = time.monotonic() + 20
while os.listdir(commons) and time.monotonic() < until:
    time.sleep(0.01)  # there is no event: nobody tells who cleaned
say(os.listdir(commons))
scope.leave()
""")
    assert said == ["0", "[]"]

"""The shim: it does the harm that it says, at the call that it says."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .shim import GUARDIAN, HARMS, JOB, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Shimmed = Callable[..., subprocess.CompletedProcess[str]]

SCRIPT = """
import os, sys
from crash.shim import CHILD, HARMS, ITSELF, Shim
base, harm, at, who = sys.argv[1:]
os.chdir(base)
shim = Shim()
shim.arm(int(at), HARMS[harm], CHILD if who == "children" else ITSELF)
try:
    if who == "children" and os.fork():
        os.wait()
        os._exit(0)
    os.mkdir("made")
    file = os.open("file", os.O_CREAT | os.O_WRONLY)
    os.write(file, b"twelve bytes")
except OSError as error:
    shim.disarm()
    print(type(error).__name__, error.strerror)
shim.disarm()
for event in shim.events():
    if event.what in ("create", "fault"):
        print(event.what, os.path.basename(event.text))
sys.stdout.flush()
os._exit(0)
"""

PROGRAM_SCRIPT = """
import os, subprocess, sys
from pathlib import Path
from crash.shim import HARMS, LATE, Shim
base, who = sys.argv[1:]
program = '''
import os
def be(generation):
    os.close(os.open("awake", os.O_RDONLY))
    os.mkdir(f"{generation}a")
    os.mkdir(f"{generation}b")
    if generation < 2:
        if not os.fork():
            be(generation + 1)
        os.wait()
    os._exit(0)
os.mkdir("0")
be(0)
'''
os.chdir(base)
Path("awake").touch()
shim = Shim()
shim.place(Path("awake"))
shim.arm(4, HARMS["killed before"], int(who) | LATE)
for _ in range(2):
    subprocess.run([sys.executable, "-I", "-S", "-c", program])
    print(*sorted(name for name in os.listdir() if name != "awake"), shim.harmed())
    for name in os.listdir():
        if name != "awake":
            os.rmdir(name)
"""

STOP_SCRIPT = """
import os, signal, sys
from crash.family import state_of
from crash.shim import CHILD, STOP, Harm, Shim
os.chdir(sys.argv[1])
shim = Shim()
told, said = os.pipe()
shim.bell(said)
os.set_blocking(said, False)
try:
    while True:
        os.write(said, bytes(4096))
except BlockingIOError:
    os.set_blocking(said, True)
shim.arm(1, Harm(STOP), CHILD)
if sys.argv[2] == "called off":
    print(shim.calm())
child = os.fork()
if not child:
    os.mkdir("made")
    os._exit(0)
while not shim.met():
    continue
print(shim.harmed())
if sys.argv[2] == "stops":
    while not os.read(told, 4096).endswith(b"s"):
        continue
    while state_of(child) != "T":
        continue
    print(shim.harmed(), shim.calm())
    os.kill(child, signal.SIGCONT)
print(os.waitpid(child, 0)[1], *os.listdir())
"""


@pytest.fixture
def harmed(shimmed: Shimmed, tmp_path: Path) -> Callable[..., tuple[int, list[str], list[str]]]:
    """Status, lines said and names made of a script that makes a directory and a file."""

    def run(harm: str, at: int, who: str = "itself") -> tuple[int, list[str], list[str]]:
        base = tmp_path / "base"
        base.mkdir()
        ended = shimmed("-c", SCRIPT, str(base), harm, str(at), who)
        assert not ended.stderr
        return ended.returncode, ended.stdout.splitlines(), sorted(p.name for p in base.iterdir())

    return run


@pytest.mark.parametrize(
    ("harm", "at", "made"),
    [
        ("killed before", 1, []),
        ("killed after", 1, ["made"]),
        ("killed before", 2, ["made"]),
        ("killed after", 2, ["file", "made"]),
    ],
)
def test_killing(harmed: Callable[..., tuple[int, list[str], list[str]]], harm, at, made) -> None:
    """It kills before or after that very call."""
    status, _, names = harmed(harm, at)
    assert (status, names) == (-9, made)


def test_tearing(harmed: Callable[..., tuple[int, list[str], list[str]]], tmp_path: Path) -> None:
    """Half of what was to be written is there; only writes count."""
    status, _, _ = harmed("torn", 1)
    assert status == -9
    assert (tmp_path / "base" / "file").read_bytes() == b"twelve"


@pytest.mark.parametrize("name", ["ENOSPC", "EIO", "EMFILE", "EACCES"])
def test_failing(harmed: Callable[..., tuple[int, list[str], list[str]]], name: str) -> None:
    """That call fails, and nothing was done; it is on the tape."""
    status, lines, names = harmed(name, 2)
    assert (status, names) == (0, ["made"])
    assert lines[0].endswith("Permission denied") or lines[0].startswith("OSError")
    assert lines[1:] == ["create made", "fault open64"]
    assert HARMS[name].fails


def test_interrupting(harmed: Callable[..., tuple[int, list[str], list[str]]]) -> None:
    """Python repeats what was interrupted, so it goes on."""
    status, lines, names = harmed("EINTR", 2)
    assert (status, names) == (0, ["file", "made"])
    assert lines == ["create made", "fault open64", "create file"]


def test_failing_for_good(harmed: Callable[..., tuple[int, list[str], list[str]]]) -> None:
    """What needs no descriptor goes on when there are none; what needs one fails."""
    _, lines, names = harmed("EMFILE for good", 1)
    assert names == ["made"]
    assert lines[0] == "OSError Too many open files"


def test_children_only(harmed: Callable[..., tuple[int, list[str], list[str]]]) -> None:
    """A child is harmed, and its parent is not."""
    status, _, names = harmed("killed before", 2, "children")
    assert (status, names) == (0, ["made"])


@pytest.mark.parametrize(
    ("who", "made"), [(PROGRAM, "0 0a"), (GUARDIAN, "0 0a 0b 1a"), (JOB, "0 0a 0b 1a 1b 2a")]
)
def test_programs(shimmed: Shimmed, tmp_path: Path, who: int, made: str) -> None:
    """The next program is harmed, or what it forks, once it is awake; and the next one only."""
    base = tmp_path / "base"
    base.mkdir()
    ended = shimmed("-c", PROGRAM_SCRIPT, str(base), str(who))
    assert not ended.stderr
    assert ended.stdout.splitlines() == [f"{made} True", "0 0a 0b 1a 1b 2a 2b True"]


@pytest.mark.parametrize(
    ("what", "said"),
    [("stops", ["False", "True True", "0 made"]), ("called off", ["False", "False", "0 made"])],
)
def test_stopping(shimmed: Shimmed, tmp_path: Path, what: str, said: list[str]) -> None:
    """Whoever waits for a stop goes on once it was told; what is called off never stops."""
    base = tmp_path / "base"
    base.mkdir()
    ended = shimmed("-c", STOP_SCRIPT, str(base), what)
    assert not ended.stderr
    assert ended.stdout.splitlines() == said


@pytest.mark.parametrize(("how_many", "outcome"), [("some", "skipped"), ("all", "error")])
def test_without_a_compiler(tmp_path: Path, how_many: str, outcome: str) -> None:
    """Whoever asks for all points is told that none can be explored; a usual run skips them."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, "-k", "children_only", "-p", "no:cacheprovider"],
        env={**os.environ, "PATH": str(tmp_path), "LASTOUT_CRASH": how_many},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"1 {outcome}" in ended.stdout
    assert (ended.returncode == 0) == (outcome == "skipped")

"""What holds for every kind in the table, and for one that a package brings."""

from __future__ import annotations

import ast
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import lastout
from lastout import errors
from lastout._platform import mounts, pids
from lastout._scopes.kinds import base, callback, popen, table
from lastout._scopes.kinds.base import Size, Trackable
from lastout._scopes.records.inspection import inspect, size_of
from lastout.backends.local import LocalBackend
from lastout.deadline import Deadline
from support import eventually, journals
from support.artifacts import failures
from support.packages import KITCHEN, install
from support.program import IMPORTED_FROM

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program


DOUBLE = Path(__file__).parents[1] / "programs" / "engine.py"


class Example(NamedTuple):
    """One thing of a kind.

    Attributes:
        make: has a scope make it, at `path` where it has one.
        is_there: whether it is, given its artifact and that path.
        replace: puts something else in its place; `None` where nothing can be.
        size: how big it is.
        described: what people read, given its artifact; its location for `None`.
        adopt: has a scope take it over when it is there; `None` where that cannot be.
    """

    make: str
    is_there: Callable[[lastout.Artifact, Path], bool]
    replace: Callable[[lastout.Artifact, Path], None] | None = None
    size: Size | None = None
    described: str | None = None
    adopt: str | None = None


def at_path(artifact: lastout.Artifact, path: Path) -> bool:
    return os.path.lexists(path)


def in_memory(prefix: str) -> Callable[[lastout.Artifact, Path], bool]:
    return lambda artifact, _: Path("/dev/shm", f"{prefix}{artifact.location}").exists()


def other_in_memory(prefix: str) -> Callable[[lastout.Artifact, Path], None]:
    def replace(artifact: lastout.Artifact, _: Path) -> None:
        path = Path("/dev/shm", f"{prefix}{artifact.location}")
        other = path.with_name(f"lastout-other-{os.getpid()}")
        other.touch()
        other.replace(path)

    return replace


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def runs(artifact: lastout.Artifact, _: Path) -> bool:
    facts = pids.process_facts(artifact.data["pid"])
    return facts is not None and not facts.ending


def put_elsewhere(make: Callable[[Path], object]) -> Callable[[lastout.Artifact, Path], None]:
    def replace(_: lastout.Artifact, path: Path) -> None:
        path.rename(path.with_name("former"))
        make(path)

    return replace


def is_queue(artifact: lastout.Artifact, _: Path) -> bool:
    opened: int = ctypes.CDLL(None).mq_open(f"/{artifact.location}".encode(), os.O_RDONLY)
    if opened >= 0:
        os.close(opened)
    return opened >= 0


def is_segment(artifact: lastout.Artifact, _: Path) -> bool:
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return any(line.split()[1] == artifact.location[4:] for line in lines)


def is_mounted(_: lastout.Artifact, path: Path) -> bool:
    return path.is_mount()


def is_contained(_: lastout.Artifact, path: Path) -> bool:
    return '"box"' in (path.parent / "bin" / "containers.json").read_text()


EXAMPLES = {
    "directory": Example(
        "scope.directory(path)",
        at_path,
        put_elsewhere(os.mkdir),
        Size(0),
        adopt="scope.track('directory', path)",
    ),
    "file": Example(
        "scope.file(path)",
        at_path,
        put_elsewhere(Path.touch),
        Size(0),
        adopt="scope.track('file', path)",
    ),
    "socket": Example(
        "bound(scope.socket(path))",
        at_path,
        put_elsewhere(os.mkdir),
        adopt="scope.track('socket', path)",
    ),
    "shared_memory": Example(
        "closed(scope.shared_memory(100))",
        in_memory(""),
        other_in_memory(""),
        Size(100),
        adopt="scope.track('shared_memory', artifact.location)",
    ),
    "semaphore": Example(
        "scope.semaphore()",
        in_memory("sem."),
        other_in_memory("sem."),
        adopt="scope.track('semaphore', artifact.location)",
    ),
    "popen": Example("scope.popen(['sleep', '600'])", runs, described="sleep 600"),
    "command": Example(
        "os.mkdir(path) or scope.command(['rm', '-rf', str(path)])",
        at_path,
        described="rm -rf {path}",
    ),
    "callback": Example(
        "os.mkdir(path) or scope.callback(shutil.rmtree, str(path), True)", at_path
    ),
    "message_queue": Example(
        "queue(scope)", is_queue, adopt="scope.track('message_queue', artifact.location)"
    ),
    "sysv": Example(
        "segment(scope)",
        is_segment,
        size=Size(4096),
        adopt="scope.track('sysv', artifact.location)",
    ),
    "mount": Example(
        "mounted(scope, path)",
        is_mounted,
        described="lastout-test (tmpfs) on {path}",
        adopt="scope.track('mount', path)",
    ),
    "container": Example(
        f"contained(scope, path, {str(DOUBLE)!r})",
        is_contained,
        described="box (docker)",
        adopt="scope.track('container', 'box')",
    ),
    "url": Example(
        "os.mkdir(path) or scope.track('url', f'file://{path}/')",
        at_path,
        adopt="scope.track('url', f'file://{path}/')",
    ),
    "fifo": Example(
        "scope.track('fifo', path)",
        at_path,
        put_elsewhere(os.mkfifo),
        Size(0),
        described="the pipe {path}",
        adopt="scope.track('fifo', path)",
    ),
}
WITH_KITCHEN = {"PYTHONPATH": f"{KITCHEN}{os.pathsep}{IMPORTED_FROM}"}
NEEDS_ROOT = pytest.mark.skipif(not mounts.may_unmount(), reason="mounting needs root")
EVERY = pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=NEEDS_ROOT if kind == "mount" else ()) for kind in EXAMPLES],
)

HELPERS = """
import ctypes, os, shutil, signal, socket, subprocess, sys
import lastout

libc = ctypes.CDLL(None)

def bound(artifact):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(artifact))
    return artifact

def closed(memory):
    memory.close()
    return memory

def queue(scope):
    name = f"lastout-kinds-{os.getpid()}"
    os.close(libc.mq_open(f"/{name}".encode(), os.O_CREAT | os.O_EXCL, 0o600, None))
    return scope.track("message_queue", name)

def segment(scope):
    return scope.track("sysv", f"shm:{libc.shmget(0, 4096, 0o1600)}")

def mounted(scope, path):
    os.mkdir(path)
    none = ctypes.c_ulong(0), None
    assert libc.mount(b"lastout-test", os.fsencode(path), b"tmpfs", *none) == 0
    return scope.track("mount", path)

def contained(scope, path, double):
    place = path.parent / "bin"
    place.mkdir()
    with open(double) as text, open(place / "docker", "w") as program:
        program.write(f"#!{sys.executable} -IS\\n{text.read()}")
    os.chmod(place / "docker", 0o700)
    os.environ["PATH"] = f"{place}:{os.environ['PATH']}"
    subprocess.run(["docker", "run", "--name", "box", "--label", ""], check=True, stdout=-3)
    return scope.track("container", "box")
"""
KILLED = """
    from pathlib import Path
    from things import *
    from lastout._scopes.records import journal
    from say import say

    if {at_once}:
        journal.more = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    scope, path = lastout.Scope("killed"), Path({path!r})
    {make}
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def kitchen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is installed; what was looked up before is forgotten."""
    monkeypatch.syspath_prepend(KITCHEN)
    monkeypatch.setattr(table, "_found", {})
    monkeypatch.setattr(table, "_missing", {})
    monkeypatch.setenv("PATH", os.environ["PATH"])  # a double of docker is put before it


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a thing is made that has a path."""
    return tmp_path / "thing"


def make(kind: str, scope: lastout.Scope, path: Path) -> tuple[lastout.Artifact, object]:
    """The thing of an example, made in this process, and what the user got."""
    names: dict[str, Any] = {"scope": scope, "path": path}
    exec(HELPERS, names)
    made = eval(EXAMPLES[kind].make, names)
    return (made if isinstance(made, lastout.Artifact) else scope.artifact_of(made)), made


def put_away(artifact: lastout.Artifact) -> None:
    """Clean it by its record alone."""
    table.clean(artifact.kind, artifact.location, artifact.data, Deadline(30))


def recorded(name: str) -> list[lastout.Artifact]:
    """What is recorded in a scope, without joining it."""
    view = inspect(LocalBackend(None), name)
    return [one.artifact for one in view.artifacts] if view else []


def test_every_kind_has_an_example() -> None:
    """No kind is left out here, and the types know of each."""
    assert EXAMPLES.keys() - {"fifo"} == table.KINDS
    tree = ast.parse(Path(base.__file__).read_text())
    [literal] = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "BuiltInKind"
    ]
    assert {*ast.literal_eval(literal.slice)} == table.KINDS


@EVERY
def test_the_table_says_what_the_class_says(kind: str) -> None:
    """Flags in the table, which nothing is loaded for, are those of the class."""
    found = table.find(kind)
    assert found.name == kind
    for flag in table.KindFlags.__slots__:
        assert getattr(table.flags(kind), flag) is getattr(found, flag), flag


@pytest.mark.thorough(one_in=3)
@EVERY
@pytest.mark.parametrize("at_once", [False, True], ids=["at rest", "just after making"])
def test_what_a_killed_member_made_is_cleaned(
    kind: str, at_once: bool, path: Path, program: Callable[..., Program]
) -> None:
    """After SIGKILL of its maker the next one to reap removes it, and it was there."""
    example = EXAMPLES[kind]
    text = KILLED.format(at_once=at_once, path=str(path), make=example.make)
    child = program(text, modules={"things": HELPERS}, env=WITH_KITCHEN)
    assert child.end().status == -signal.SIGKILL
    [artifact] = recorded("killed")
    assert artifact.kind == kind
    if not (at_once and kind == "popen"):  # its number was not recorded yet
        assert example.is_there(artifact, path)
    report = lastout.reap(name="killed")
    assert report.ok, report
    if not (at_once and kind == "popen"):
        assert not example.is_there(artifact, path)
    assert os.listdir(os.environ["LASTOUT_ROOT"]) == []


@pytest.mark.thorough(one_in=3)
@EVERY
def test_cleaning_twice_is_cleaning_once(kind: str, path: Path) -> None:
    """A cleaner that was killed after it was through is followed by another one."""
    with lastout.Scope() as scope:
        artifact, _ = make(kind, scope, path)
        assert EXAMPLES[kind].is_there(artifact, path)
        put_away(artifact)
        assert not EXAMPLES[kind].is_there(artifact, path)
        put_away(artifact)
    assert scope.report.ok  # and there is a third time


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if EXAMPLES[kind].replace])
def test_what_took_its_place_is_left_alone(kind: str, path: Path) -> None:
    """Something else in the place of an artifact is not touched, and is an error."""
    replace = EXAMPLES[kind].replace
    assert replace is not None
    with lastout.Scope() as scope:
        artifact, _ = make(kind, scope, path)
        replace(artifact, path)
        with pytest.raises(errors.ArtifactReplaced):
            artifact.release()
        assert EXAMPLES[kind].is_there(artifact, path)
        artifact.keep()
    with suppress(errors.ArtifactReplaced):  # it is in the directory of the test
        put_away(artifact._replaced(data={}))


@pytest.mark.thorough(one_in=3)
@EVERY
def test_what_is_kept_stays(kind: str, path: Path) -> None:
    """Nobody cleans what was kept, and this process holds nothing for it any more."""
    with lastout.Scope() as scope:
        artifact, made = make(kind, scope, path)
        artifact.keep()
        assert callback._live == popen._ours == {}
    assert EXAMPLES[kind].is_there(artifact, path)
    put_away(artifact)
    if isinstance(made, subprocess.Popen):
        made.wait(10)


@pytest.mark.thorough(one_in=3)
@EVERY
def test_its_size_and_what_people_read(kind: str, path: Path) -> None:
    """Each says how big it is, and what it is."""
    example = EXAMPLES[kind]
    with lastout.Scope() as scope:
        artifact, _ = make(kind, scope, path)
        assert size_of(artifact) == example.size
        described = (example.described or artifact.location).format(path=path)
        assert table.describe(kind, artifact.location, artifact.data) == described
    [outcome] = scope.report
    assert outcome.name == f"{kind} {described}"
    if example.size is not None:
        assert size_of(artifact) is None


@pytest.mark.thorough(one_in=3)
@EVERY
def test_one_that_is_there_is_handed_over(kind: str, path: Path) -> None:
    """Who can be tracked is taken over as it is; the others are refused by name."""
    adopt = EXAMPLES[kind].adopt
    assert isinstance(table.find(kind), Trackable) == (adopt is not None)
    with lastout.Scope() as scope:
        if adopt is None:
            with pytest.raises(errors.UsageError, match=f"cannot track a '{kind}'"):
                scope.track(kind, path)
            return
        first, _ = make(kind, scope, path)
        first.keep()
        again = eval(adopt, {"scope": scope, "path": path, "artifact": first})
        assert (again.kind, again.location) == (kind, first.location)
    assert scope.report.ok
    assert not EXAMPLES[kind].is_there(first, path)


@EVERY
def test_data_that_it_never_wrote_is_no_crash_of_others(kind: str, path: Path) -> None:
    """What stands in a record cannot keep the others from being cleaned."""
    leave_behind([(kind, "nowhere", {}), ("file", str(path), {})])
    path.touch()
    lastout.reap(name="left")
    assert not path.exists()
    assert table.limit(kind, {}) in (60.0, None)
    shutil.rmtree(Path(os.environ["LASTOUT_ROOT"], "left"), ignore_errors=True)


def leave_behind(things: list[tuple[str, str, dict[str, Any]]]) -> None:
    """The journal of a dead member of the scope `left`, who made these."""
    records = (
        journals.made(number, location, kind, data=data)
        for number, (kind, location, data) in enumerate(things, 1)
    )
    journals.WrittenScope(LocalBackend(None), "left").unlocked("abc", *records, who=None)


def test_a_reap_of_files_loads_nothing_that_it_does_not_need(
    path: Path, program: Callable[..., Program]
) -> None:
    """Neither `subprocess` nor `multiprocessing`, nor a look at who brings more kinds."""
    path.mkdir()
    leave_behind([("directory", str(path), {}), ("file", f"{path}/x", {})])
    child = program(
        """
        import sys
        import lastout

        assert lastout.reap(name="left").ok
        wanted = {"subprocess", "multiprocessing", "importlib.metadata"}
        print(*sorted(wanted & sys.modules.keys()))
        """
    )
    assert child.end() == (0, "\n", "")
    assert not path.exists()


def test_importing_lastout_loads_no_kinds(program: Callable[..., Program]) -> None:
    """What it takes to write kinds is loaded by those who do."""
    child = program(
        """
        import sys
        import lastout

        print([name for name in sys.modules if "kinds" in name])
        import lastout.kinds
        print(sorted(lastout.kinds.__all__))
        """
    )
    ended = child.end()
    assert ended.out.splitlines() == [
        "[]",
        "['AnyPath', 'Data', 'Deadline', 'Kind', 'Recipe', 'Size', 'Trackable']",
    ], ended.err


def test_nobody_decides_by_the_name_of_a_kind() -> None:
    """What is special about a kind stands in the table: outside of it none is named."""
    package = Path(lastout.__path__[0])
    deciding = re.compile(r"\.kind (==|!=|in|not in) ")
    found = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in package.rglob("*.py")
        if path.parent.name != "kinds"
        for line in path.read_text().splitlines()
        if deciding.search(line)
    ]
    assert found == []


# --- kinds that packages bring


def test_options_reach_the_kind(path: Path) -> None:
    """What else the user says is for the kind, and one that it does not know is refused."""
    with lastout.Scope() as scope:
        scope.track("fifo", path, mode=0o640)
        assert path.stat().st_mode & 0o777 == 0o640
        with pytest.raises(TypeError, match="depth"):
            scope.track("fifo", path, depth=3)
        with pytest.raises(TypeError, match="mode"):
            scope.track("file", path, mode=0o640)


def test_its_artifact_is_a_path(path: Path) -> None:
    """A kind that says that it is found at a path gives artifacts that are paths."""
    with lastout.Scope() as scope:
        made = scope.track("fifo", path)
        assert os.fspath(made) == made.place == str(path)


def test_it_goes_before_its_directory() -> None:
    """What lies in a directory of the scope is cleaned before that, whatever its kind."""
    with lastout.Scope() as scope:
        inside = scope.directory() / "pipe"
        scope.track("fifo", inside)
    assert [one.name.split()[0] for one in scope.report] == ["fifo", "directory"]
    assert scope.report.ok


def test_it_goes_before_its_directory_by_whatever_link(tmp_path: Path) -> None:
    """A path is recorded with its links resolved, though the kind itself does not resolve any."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    os.mkfifo(real / "there")
    with lastout.Scope() as scope:
        for name in ("new", "there"):
            assert os.fspath(scope.track("fifo", link / name)) == str(real / name)
        scope.track("directory", real)
    assert [one.name.split()[0] for one in scope.report] == ["fifo", "fifo", "directory"]
    assert scope.report.ok


def test_it_is_recorded_before_it_is_made(path: Path, program: Callable[..., Program]) -> None:
    """A maker that is killed in the making leaves a record, and that is clean."""
    child = program(
        f"""
        import os, signal
        import lastout

        os.mkfifo = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        lastout.Scope("killed").track("fifo", {str(path)!r})
        """,
        env=WITH_KITCHEN,
    )
    child.end()
    assert [one.location for one in recorded("killed")] == [str(path)]
    assert lastout.reap(name="killed").ok


def test_a_guardian_finds_it(path: Path, program: Callable[..., Program]) -> None:
    """Also the guardian's processes look where the member did."""
    child = program(
        f"""
        import os, signal
        import lastout
        from say import say

        lastout.Scope("guarded", guardian=True).track("fifo", {str(path)!r})
        say(os.path.exists({str(path)!r}))
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        env=WITH_KITCHEN,
    )
    child.end()
    assert child.lines == ["True"]
    assert eventually(lambda: not path.exists())


def test_where_it_cannot_be_found_it_stays(path: Path, program: Callable[..., Program]) -> None:
    """The others go on, it is said what is missing, and who has the package cleans it."""
    os.mkfifo(path)
    leave_behind([("fifo", str(path), {}), ("file", f"{path}-file", {})])
    path.with_name("thing-file").touch()
    child = program(
        """
        import lastout
        for one in lastout.reap(name="left"):
            print(one.name, one.failure and type(one.failure.exception).__name__)
            print(one.failure and one.failure.exception)
        """
    )
    said = child.end().out
    assert f"file {path}-file None" in said
    assert f"fifo {path} UnknownKind" in said
    assert "no package that is installed brings it" in said
    assert path.exists()
    assert [one.kind for one in recorded("left")] == ["fifo"]
    assert lastout.reap(name="left").ok
    assert not path.exists()


BROKEN = {
    "raises": "the oven is broken",
    "ends": "SystemExit: 3",
    "misnamed": "no subclass",
    "no_class": "no subclass",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_one_that_is_broken_keeps_nobody_from_the_others(kind: str, path: Path) -> None:
    """Whatever is wrong with it is said, with the package; it stays recorded."""
    path.touch()
    leave_behind([(kind, "a", {}), (kind, "b", {}), ("file", str(path), {})])
    report = lastout.reap(name="left")
    assert not path.exists()
    found = failures(report)
    assert [type(one) for one in found] == [errors.UnusableKind] * 2
    for error in found:
        assert "kitchen brings it" in str(error)
        assert BROKEN[kind] in str(error)
        assert error.kind == kind  # type: ignore[attr-defined]
    assert len(recorded("left")) == 2
    with lastout.Scope() as scope, pytest.raises(errors.UnusableKind, match=BROKEN[kind]):
        scope.track(kind, path)
    shutil.rmtree(Path(os.environ["LASTOUT_ROOT"], "left"))


def test_one_that_fails_at_everything_is_an_error_of_its_own(path: Path) -> None:
    """Its limit, size and description are the usual ones, and its end is not the cleaner's."""
    path.touch()
    leave_behind([("file", str(path), {}), ("only_cleaned", "pot", {})])
    report = lastout.reap(name="left")
    assert [one.name for one in report] == ["only_cleaned pot", f"file {path}"]
    [error] = failures(report)
    assert isinstance(error, errors.CleanupFailed)
    assert "status 3" in str(error)
    assert table.size("only_cleaned", "pot", {}) is None
    assert table.limit("only_cleaned", {}) == 60.0
    assert not path.exists()
    shutil.rmtree(Path(os.environ["LASTOUT_ROOT"], "left"))


def test_packages_that_cannot_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with what is installed, it is an error of that kind alone."""

    def refuse(**_: object) -> None:
        raise OSError("for this test")

    monkeypatch.setattr(metadata, "entry_points", refuse)
    leave_behind([("fifo", str(path), {}), ("file", str(path), {})])
    path.touch()
    [error] = failures(lastout.reap(name="left"))
    assert isinstance(error, errors.UnusableKind)
    assert "for this test" in str(error)
    assert not path.exists()
    shutil.rmtree(Path(os.environ["LASTOUT_ROOT"], "left"))


def test_whom_it_ends() -> None:
    """Only a kind that ends processes is asked whether it ends these; usually it is none."""
    assert not table.find("fifo").ends("pot", {}, [os.getpid()])
    assert not table.ends("only_cleaned", "pot", {}, [os.getpid()])
    with lastout.Scope() as scope:
        process = scope.popen(["sleep", "600"])
        its = scope.artifact_of(process)
        assert table.ends(its.kind, its.location, its.data, [os.getpid(), process.pid])
        assert not table.ends(its.kind, its.location, its.data, [os.getpid()])


def test_two_packages_that_claim_a_name(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is taken, and both are named."""
    monkeypatch.syspath_prepend(install(tmp_path / "site", "plumber", {"fifo": "plumber:Fifo"}))
    with lastout.Scope() as scope:
        with pytest.raises(errors.UnusableKind, match="both kitchen and plumber claim"):
            scope.track("fifo", path)
        assert not path.exists()
        assert scope.artifacts() == ()


def test_a_package_that_claims_a_name_of_ours(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kinds are refused, and ours is the one that cleans."""
    claims = {"file": "thief:File", "loot": "thief:Loot"}
    monkeypatch.syspath_prepend(install(tmp_path / "site", "thief", claims))
    with lastout.Scope() as scope:
        with pytest.raises(
            errors.UnusableKind, match=r"thief.* and lastout itself both claim .*file"
        ):
            scope.track("loot", path)
        scope.track("fifo", path)  # of somebody else
        scope.file(tmp_path / "ours")
    assert scope.report.ok


@pytest.mark.parametrize("name", ['a"b', "a b]", "a\\b", "ä"])
def test_a_name_that_journals_cannot_hold(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of a kind has letters and digits; what has not is never written down."""
    site = install(tmp_path / "site", "odd", {name: "odd_name:OddNameKind"})
    text = f"from kitchen.odd import OddKind\nclass OddNameKind(OddKind):\n    name = {name!r}\n"
    (site / "odd_name.py").write_text(text)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "odd_name", raising=False)
    with lastout.Scope() as scope:
        with pytest.raises(errors.UnusableKind, match="a name has letters"):
            scope.track(name, "x")
        assert scope.artifacts() == ()


@pytest.mark.parametrize("data", [(1,), {1: 2}, object(), float("nan"), b"x", {"a": {2}}])
def test_data_that_is_no_json_is_refused(data: object) -> None:
    """It is said before anything is recorded or made."""
    from kitchen import odd

    with lastout.Scope() as scope:
        with pytest.raises(errors.UsageError, match=r"data of the kind 'no_json' cannot be"):
            scope.track("no_json", "pot", data=data)
        assert scope.artifacts() == ()
    assert odd.made == []


def test_data_that_is_no_json_when_it_is_made() -> None:
    """It is an error; the thing stays recorded as it was before, and is cleaned."""
    from kitchen import odd

    with lastout.Scope() as scope:
        with pytest.raises(errors.UsageError, match="known only later of the kind 'no_json_later'"):
            scope.track("no_json_later", "pot")
        assert odd.made == ["pot"]
    assert scope.report.ok
    assert odd.made == []


def test_what_is_no_recipe_is_refused() -> None:
    """A kind that gives something else has nothing recorded."""
    with lastout.Scope() as scope:
        with pytest.raises(errors.UsageError, match="'no_recipe' gave no Recipe"):
            scope.track("no_recipe", "pot")
        assert scope.artifacts() == ()


def test_one_that_is_only_cleaned_cannot_be_handed_over() -> None:
    """A kind without `adopt` has no way into a scope but its package's own."""
    with lastout.Scope() as scope, pytest.raises(errors.UsageError, match="cannot track"):
        scope.track("only_cleaned", "pot")


def test_one_that_is_no_trackable_says_so() -> None:
    """Who derived from the wrong class reads from which one to derive."""
    with lastout.Scope() as scope, pytest.raises(errors.UsageError) as raised:
        scope.track("only_cleaned", "pot")
    assert "'only_cleaned' is no Trackable: nothing can be handed over" in str(raised.value)


def test_a_mistyped_kind_is_not_said_to_be_recorded() -> None:
    """Nothing was recorded, so there is no advice about who recorded it."""
    with lastout.Scope() as scope, pytest.raises(errors.UsageError) as raised:
        scope.track("pidfle", "pot")
    text = str(raised.value)
    assert text.startswith("cannot track a 'pidfle': no package that is installed brings it")
    assert "semaphore" in text
    assert "recorded it" not in text


def test_a_trackable_without_adopt() -> None:
    """What is missing is said with the class that lacks it."""
    for method, arguments in (("adopt", ["pot"]), ("clean", ["pot", {}, Deadline()])):
        with pytest.raises(NotImplementedError, match=rf"Trackable does not define {method}\("):
            getattr(Trackable(), method)(*arguments)


def test_a_recipe_shows_what_it_says() -> None:
    """A recipe in a message or in a debugger can be read."""
    assert repr(base.Recipe("/x", {"a": 1})) == "Recipe('/x', {'a': 1})"
    assert repr(base.Recipe("/x", None, os.getpid)) == (
        "Recipe('/x', {}, create=<built-in function getpid>)"
    )


@pytest.mark.parametrize("created", [None, "pot", ("pot",), ("pot", {}, 1)])
def test_a_create_that_does_not_give_two_values(created: object) -> None:
    """It is an error that names the kind; the thing stays recorded, and is cleaned."""
    from kitchen import odd

    with lastout.Scope() as scope:
        with pytest.raises(errors.UsageError, match="create of the kind 'not_two' must give two"):
            scope.track("not_two", "pot", created=created)
        assert odd.made == ["pot"]
    assert scope.report.ok
    assert odd.made == []

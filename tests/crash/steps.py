"""What is harmed: each step of the protocol, as a generator.

Up to its first `yield` it prepares, undisturbed; after that every system call
is one at which harm can be done.  If it goes on (because a call only failed,
or another process was harmed) it ends as a process does: it leaves.
"""

from __future__ import annotations

import os
import pickle
import socket
from typing import TYPE_CHECKING, Any

import lastout

from . import guardians as guardians  # steps as well
from . import programs as programs
from .shim import CHILD
from .world import STEPS as STEPS
from .world import furnish, step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .world import World


def remove(path: str) -> None:
    """Be what is called as a cleanup: it can be called again."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return


# Joining, forking.


@step("join")
def _join(world: World) -> Iterator[None]:
    yield
    world.join()


@step("join, and clean after the dead", dead=True)
def _adopt(world: World) -> Iterator[None]:
    yield
    world.join()


@step("join by a pickled scope", alone=False)
def _spawn(world: World) -> Iterator[None]:
    blob = world.pickled.read_bytes()
    yield
    pickle.loads(blob)


def _fork(world: World, leave: bool, wait: bool) -> Iterator[None]:
    scope = world.join()
    outer = furnish(scope, world)[0]
    yield
    pid = os.fork()
    if not pid:
        world.shim.note("uses", str(outer))
        scope.file(world.path("childs"), lifetime="member")
        scope.file(world.path("shared"))
        return
    if leave:
        scope.leave()
    if wait:
        os.waitpid(pid, 0)


@step("fork", forks=True)
def _fork_parent(world: World) -> Iterator[None]:
    return _fork(world, leave=False, wait=True)


@step("fork, in the child", whose=CHILD, forks=True)
def _fork_child(world: World) -> Iterator[None]:
    return _fork(world, leave=False, wait=True)


@step("fork and leave", forks=True)
def _fork_and_leave(world: World) -> Iterator[None]:
    return _fork(world, leave=True, wait=False)


@step("fork and leave, in the child", whose=CHILD, forks=True)
def _fork_and_leave_child(world: World) -> Iterator[None]:
    return _fork(world, leave=True, wait=True)


# Recording and making.


def _make(name: str, make: Callable[[lastout.Scope, World], Any], **options: Any) -> None:
    @step(f"make: {name}", **options)
    def act(world: World) -> Iterator[None]:
        scope = world.join()
        yield
        make(scope, world)

    def release(world: World) -> Iterator[None]:
        scope = world.join()
        made = make(scope, world)
        artifact = made if isinstance(made, lastout.Artifact) else scope.artifact_of(made)
        world.release(_place(artifact))
        yield
        artifact.release()

    step(f"release: {name}", **options)(release)


def _place(artifact: lastout.Artifact) -> str:
    if artifact.kind == "shared_memory":
        return f"/dev/shm/{artifact.location}"
    if artifact.kind == "semaphore":
        return f"/dev/shm/sem.{artifact.location}"
    if artifact.kind == "command":
        return str(artifact.data["argv"][-1])
    if artifact.kind == "callback":
        return str(artifact.data["args"][0])
    return artifact.location


def _directory(scope: lastout.Scope, world: World) -> lastout.Artifact:
    made = scope.directory(world.path("made"))
    os.mkdir(made / "sub")
    scope.file(made / "inner")
    return made


def _socket(scope: lastout.Scope, world: World) -> lastout.Artifact:
    # Its whole path may be longer than that of a socket may be.
    os.chdir(world.things)
    name = os.path.basename(world.path("made"))
    made = scope.socket(name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
    world.shim.note("create", str(made))
    return made


def _shared_memory(scope: lastout.Scope, world: World) -> lastout.Artifact:
    made = scope.shared_memory(100)
    artifact = scope.artifact_of(made)
    made.close()
    return artifact


def _popen(scope: lastout.Scope, world: World, **options: Any) -> lastout.Artifact:
    return scope.artifact_of(scope.popen(["sleep", "1000"], cwd="/", **options))


def _command(scope: lastout.Scope, world: World) -> lastout.Artifact:
    return scope.command(["rm", "-rf", world.free("command")], cwd="/")


def _callback(scope: lastout.Scope, world: World) -> lastout.Artifact:
    return scope.callback(remove, world.free("callback"))


def _track(scope: lastout.Scope, world: World) -> lastout.Artifact:
    return scope.track("directory", world.free("tracked"))


_make("directory", _directory)
_make("file", lambda scope, world: scope.file(world.path("made"), lifetime="member"))
_make("socket", _socket)
_make("shared memory", _shared_memory)
_make("semaphore", lambda scope, world: scope.semaphore(1))
_make("process", _popen, every=3)
_make("command", _command, every=2)
_make("function", _callback, every=9)
_make("track", _track)


@step("make: process, in the child", whose=CHILD)
def _process_child(world: World) -> Iterator[None]:
    scope = world.join()
    yield
    _popen(scope, world)


@step("make: a process that is a member, in the child", whose=CHILD)
def _program_member_child(world: World) -> Iterator[None]:
    return _program_member(world)


@step("make: a process that is a member", every=4)
def _program_member(world: World) -> Iterator[None]:
    scope = world.join()
    furnish(scope, world)
    yield
    _popen(scope, world, member=True)


@step("make: a pickled function", every=9)
def _pickled(world: World) -> Iterator[None]:
    scope = world.join()
    path = world.free("callback")

    def clean() -> None:
        if os.path.lexists(path):
            os.rmdir(path)

    world.shim.note("call", f"{clean.__module__}:{clean.__qualname__} {path}")
    yield
    scope.callback(clean)


@step("make: something after others")
def _after(world: World) -> Iterator[None]:
    scope = world.join()
    made = furnish(scope, world)
    yield
    scope.directory(world.path("later"), after=made[:2])


# Keeping, looking.


@step("keep")
def _keep(world: World) -> Iterator[None]:
    scope = world.join()
    furnish(scope, world)
    kept = scope.directory(world.path("kept"))
    world.shim.note("keep", str(kept))
    yield
    kept.keep()


@step("keep what a neighbour made", alone=False)
def _keep_theirs(world: World) -> Iterator[None]:
    scope = world.join()
    theirs = next(one for one in scope.artifacts() if "first" in one.location)
    world.shim.note("keep", str(theirs))
    yield
    theirs.keep()


@step("release what a neighbour made", alone=False)
def _release_theirs(world: World) -> Iterator[None]:
    scope = world.join()
    theirs = next(one for one in scope.artifacts() if "first" in one.location)
    world.release(theirs)
    yield
    theirs.release()


@step("look", dead=True)
def _look(world: World) -> Iterator[None]:
    scope = world.join()
    yield
    scope.members()
    scope.artifacts()


# Leaving, reaping.


@step("leave")
def _leave(world: World) -> Iterator[None]:
    scope = world.join()
    furnish(scope, world)
    yield
    scope.leave()


@step("leave with programs to end and to run", every=4)
def _leave_programs(world: World) -> Iterator[None]:
    scope = world.join()
    furnish(scope, world)
    _popen(scope, world)
    _command(scope, world)
    _shared_memory(scope, world)
    yield
    scope.leave()


@step("leave while somebody lies dead", dead=True, forks=True)
def _leave_dead(world: World) -> Iterator[None]:
    scope = world.join()
    furnish(scope, world)
    if not os.fork():
        furnish(scope, world)
        world.shim.note("killed")
        os.kill(os.getpid(), 9)
    os.wait()
    yield
    scope.leave()


@step("reap", dead=True)
def _reap(world: World) -> Iterator[None]:
    yield
    lastout.reap(world.root)


@step("remove garbage")
def _garbage(world: World) -> Iterator[None]:
    garbage = world.root / f"garbage-{os.getpid():016x}"
    with world.join():
        garbage.mkdir(0o700)
    for name in ("scope.lock", "a.journal", ".b.new"):
        (garbage / name).touch(0o600)
    yield
    lastout.reap(world.root)

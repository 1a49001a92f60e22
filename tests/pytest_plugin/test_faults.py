"""Moments of the plugin that a suite shows seldom, one by one."""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import nullcontext
from multiprocessing.shared_memory import SharedMemory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout import pickling
from lastout.errors import CleanupFailed, CleanupWarning, SharedFixtureFailed, UsageError
from lastout.pytest_plugin import runs, traces
from lastout.pytest_plugin.controller import Controller
from lastout.pytest_plugin.ending import Ending, _first_interrupt_ignored
from lastout.pytest_plugin.exits import ExitRegistry
from lastout.pytest_plugin.halves import Halves
from lastout.pytest_plugin.leaks import Leaks
from lastout.pytest_plugin.packing import packed_error
from lastout.pytest_plugin.parameters import UNKNOWN, Parameters, _equal
from lastout.pytest_plugin.shared import _check
from lastout.pytest_plugin.standin import reap_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support import Program


@pytest.fixture
def told() -> Iterator[traces.Traces]:
    """Traces of which nobody else takes note."""
    one = traces.Traces()
    yield one
    one.close()


def test_what_is_taken_note_of(told: traces.Traces, tmp_path: Path) -> None:
    """A temporary directory, shared memory and a scope are noted by their paths; nothing else."""
    place = os.open(tmp_path, os.O_RDONLY)
    memory = SharedMemory(create=True, size=1)
    shared = os.open(f"/dev/shm/{memory.name}", os.O_RDONLY)
    try:
        told.note("tempfile.mkdtemp", ("/tmp/x",))
        told.note("os.mkdir", ("s", 0o700, place))
        told.note("mmap.__new__", (shared, 1, 0, 0))
        told.note("mmap.__new__", (place, 1, 0, 0))
        told.note("open", ("/etc/passwd", "r", 0))
    finally:
        memory.close()
        memory.unlink()
        os.close(shared)
        os.close(place)
    assert told.take() == {
        (traces.DIRECTORY, "/tmp/x"),
        (traces.SCOPE, str(tmp_path / "s")),
        (traces.SHARED_MEMORY, f"/dev/shm/{memory.name}"),
    }
    assert told.take() == set()


def test_only_those_who_are_followed_are_told(told: traces.Traces) -> None:
    """An event of another kind is nobody's, and so is any where nobody is followed."""
    former = traces.follow(None)
    try:
        traces._hook("tempfile.mkdtemp", ("/tmp/x",))
        traces.follow(told)
        traces._hook("open", ("/tmp/x", "r", 0))
        traces._hook("tempfile.mkdtemp", ("/tmp/y",))
        with tempfile.TemporaryDirectory() as real:
            pass
    finally:
        traces.follow(former)
    assert told.take() == {(traces.DIRECTORY, "/tmp/y"), (traces.DIRECTORY, real)}


def test_a_child_that_closed_all_it_had() -> None:
    """Where the log is closed, nothing can be told, and nothing fails."""
    one = traces.Traces()
    one.close()
    one.note("tempfile.mkdtemp", ("/tmp/x",))


@pytest.mark.parametrize(
    ("func", "teardown", "error"),
    [(5, None, TypeError), (lambda: None, 5, TypeError)],
)
def test_what_can_be_no_shared_fixture(func: Any, teardown: Any, error: type[Exception]) -> None:
    """A shared fixture is a function, and so is what tears it down."""
    with pytest.raises(error):
        _check(func, teardown)


def test_a_coroutine_is_no_shared_fixture() -> None:
    """What belongs to the loop of one process cannot be shared."""

    async def connect() -> None: ...

    with pytest.raises(UsageError, match="coroutine"):
        _check(connect, None)


def test_a_registry_says_how_much_it_holds() -> None:
    """The registry of a test is shown with the number of its handlers."""
    one = ExitRegistry.__new__(ExitRegistry)
    one._stack = [1, 2]  # type: ignore[assignment]
    assert repr(one) == "<ExitRegistry with 2 handlers>"


def test_values_that_cannot_be_compared() -> None:
    """Where `==` has no answer, as with arrays, two values are not the same."""

    class Array:
        def __eq__(self, other: object) -> bool:
            raise ValueError("ambiguous")

        __hash__ = None  # type: ignore[assignment]

    assert not _equal(Array(), Array())
    assert _equal([1], [1])


def test_what_cannot_be_recorded_is_torn_down() -> None:
    """A fixture whose tear-down cannot be recorded is torn down at once, and that is an error."""
    torn: list[object] = []

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    definition: Any = SimpleNamespace(teardown=torn.append)
    scope: Any = SimpleNamespace(callback=refuse)
    with pytest.raises(OSError, match="disk full"):
        runs._record_teardown(definition, scope, "value")
    assert torn == ["value"]


def test_a_half_that_is_run_once() -> None:
    """The second half of a fixture runs once; what has none is torn down without anything."""
    halves = Halves.__new__(Halves)
    halves._rest = None
    halves.tear_down()


def test_remains_that_cannot_be_cleaned(program: Callable[..., Program], tmp_path: Path) -> None:
    """What an earlier run left and cannot be cleaned is named, with the name of that run."""
    program("""
        import os
        import lastout

        lastout.Scope("run-1").command(["sh", "-c", "test -e tidy"])
        lastout.Scope("other").directory()
        os.kill(os.getpid(), 9)
    """).end()
    [(name, outcome)] = reap_all(None, "run-")
    assert name == "run-1"
    assert outcome.failure is not None
    assert isinstance(outcome.failure.exception, CleanupFailed)
    (tmp_path / "program0" / "tidy").touch()
    assert list(reap_all(None, "run-")) == []
    assert lastout.reap().ok


def test_remains_are_warned_of(program: Callable[..., Program], tmp_path: Path) -> None:
    """What an earlier run left and cannot be cleaned is a warning of the next one, once."""
    program(f"""
        import os
        import lastout

        lastout.Scope("{runs.PREFIX}1").command(["sh", "-c", "test -e tidy"])
        os.kill(os.getpid(), 9)
    """).end()
    session: Any = SimpleNamespace()
    run = runs.Plain(session)
    with pytest.warns(CleanupWarning, match="an earlier test run"):
        run._tidy()
    run._tidy()  # a warning would be an error
    (tmp_path / "program0" / "tidy").touch()
    assert lastout.reap().ok


def test_a_dead_worker_s_that_stays() -> None:
    """What a killed worker made for a fixture, and cannot be released, is a warning."""

    def refuse() -> None:
        raise CleanupFailed("it stays", kind="file", location="x")

    artifact = SimpleNamespace(member="m", made_ns=5, release=refuse)
    run: Any = SimpleNamespace(
        _board=SimpleNamespace(states=list),
        join=lambda: SimpleNamespace(artifacts=lambda: [artifact]),
    )
    state: Any = SimpleNamespace(member="m", begun=1, fixture="server")
    with pytest.warns(CleanupWarning, match="while it set up server"):
        runs.Worker._clear_remains(run, state)


def test_a_value_that_cannot_be_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot go to the other workers is torn down where it was made."""
    torn: list[object] = []

    def refuse(*_: object) -> None:
        raise TypeError("cannot be pickled")

    monkeypatch.setattr(runs, "copied", refuse)
    definition: Any = SimpleNamespace(teardown=torn.append)
    halves: Any = SimpleNamespace(tear_down=lambda: torn.append("rest"))
    with pytest.raises(TypeError, match="cannot be pickled"):
        runs._copied_or_undone(definition, "value", halves)
    assert torn == ["value", "rest"]


class Changeling(Exception):
    """An error that is another one when it arrives."""

    def __reduce__(self) -> tuple[object, ...]:
        return ValueError, ("changed",)


def test_an_error_that_does_not_arrive_as_it_was() -> None:
    """An error that becomes another one on its way is told by one that names it."""
    state: Any = SimpleNamespace(fixture="server", worker="gw0")
    _, error, text = pickling.loads(packed_error(Changeling("x"), state))
    assert isinstance(error, SharedFixtureFailed)
    assert "Changeling: x" in str(error)
    assert "Changeling" in text


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    """One that was not started."""
    one = Controller.__new__(Controller)
    one._path = str(tmp_path)
    one._notes, one._unclean = [], []
    one._workers = SimpleNamespace()  # type: ignore[assignment]
    one._board = SimpleNamespace(states=list)  # type: ignore[assignment]
    return one


def test_a_scope_that_outlives_the_run(controller: Controller) -> None:
    """Where the scope is still there when all have left, that is told."""
    scope: Any = SimpleNamespace(leave=list)
    controller._leave(scope)
    assert "are still in the scope" in controller._notes[0]


def test_what_is_unclean_is_a_failure(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that passed, and left something that cannot be cleaned, has failed."""
    monkeypatch.setattr(Controller, "_tell", lambda _: None)
    monkeypatch.setattr(
        Controller, "_clean_after_tests", lambda one: one._unclean.append("something")
    )
    controller._scope = None
    session: Any = SimpleNamespace(exitstatus=pytest.ExitCode.OK)
    around: Any = controller.pytest_sessionfinish(session)
    next(around)
    with pytest.raises(StopIteration):
        next(around)
    assert session.exitstatus == pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def ending() -> Ending:
    """The end of a fixture that nobody waits for."""
    board: Any = SimpleNamespace(
        waits=lambda *_: nullcontext(),
        locked=lambda _: nullcontext(),
        set_state=lambda _: None,
    )
    state: Any = SimpleNamespace(
        worker="gw0", member="m", key="k", fixture="server", made=0, status=None
    )
    scope: Any = SimpleNamespace(artifacts=list)
    return Ending(scope, board, lastout._identity.here(), state, lambda: None)


def test_a_child_that_comes_out_of_its_test(ending: Ending) -> None:
    """A forked child tears nothing down."""
    ending._pid = 0
    ending._finish = lambda: pytest.fail("torn down")
    ending()


def test_ctrl_c_while_it_is_waited(ending: Ending, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the waiting soon; what is shared is torn down first, and then it is raised."""
    happened: list[str] = []

    def look(_: Ending) -> None:
        happened.append("look")
        if len(happened) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Ending, "_look_until_it_is_time", look)
    monkeypatch.setattr(Ending, "_hurry", lambda _: happened.append("hurry"))
    ending._finish = lambda: happened.append("torn down")
    with pytest.raises(KeyboardInterrupt):
        ending()
    assert happened == ["look", "hurry", "look", "torn down"]


def test_all_that_fails_is_raised(ending: Ending) -> None:
    """When what the run has made cannot go, and tearing down fails too, both are raised."""

    def refuse() -> None:
        raise CleanupFailed("it stays", kind="file", location="x")

    def fail() -> None:
        raise ValueError("no")

    artifact: Any = SimpleNamespace(made_ns=5, lifetime="scope", release=refuse)
    ending._scope.artifacts = lambda: (artifact,)  # type: ignore[method-assign]
    ending._finish = fail
    with pytest.raises(BaseExceptionGroup, match="server was torn down") as caught:
        ending._tear_down()
    assert [type(one) for one in caught.value.exceptions] == [CleanupFailed, ValueError]


def test_the_first_interrupt_is_xdist_s() -> None:
    """Of two SIGINT the second raises, where the first may be xdist's."""
    with _first_interrupt_ignored(True):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("left", ["left: a file", ""])
def test_a_teardown_that_fails(left: str) -> None:
    """What a test has left is added to the error of its teardown."""
    leaks: Any = SimpleNamespace(_end_of=lambda *_: left)
    around = Leaks.pytest_runtest_teardown(leaks, SimpleNamespace())  # type: ignore[arg-type]
    next(around)
    with pytest.raises(ValueError, match="teardown") as caught:
        around.throw(ValueError("teardown"))
    assert getattr(caught.value, "__notes__", []) == ([left] if left else [])


def test_processes_that_are_not_looked_for() -> None:
    """Where processes cannot be listed, or may be left, nobody looks for them."""
    leaks: Any = SimpleNamespace(_sees_processes=False)
    owner: Any = SimpleNamespace(paths={(traces.SCOPE, "/nowhere")})
    assert Leaks._found(leaks, owner, frozenset()) == []
    assert list(Leaks._children(leaks)) == []


def test_a_parameter_that_is_like_no_other() -> None:
    """One that does not equal its own copy is written down as unknown, and fails whoever asks."""
    board: Any = SimpleNamespace(locked=lambda _: nullcontext(), params=lambda _: None)
    origins: Any = SimpleNamespace(params=lambda names: {name: object() for name in names})
    definition: Any = "tests/conftest.py::tree"
    parameters = Parameters(board, origins)
    assert parameters.asked(definition, {"backend"}) == {"backend": UNKNOWN}
    with pytest.raises(UsageError, match="asks for 'backend' by getfixturevalue"):
        parameters.check(definition, {"backend": 0}, "gw0")

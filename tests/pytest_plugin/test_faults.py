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
from lastout.pytest_plugin.exits import ExitRegistry
from lastout.pytest_plugin.leaks import audit_log
from lastout.pytest_plugin.leaks.detector import LeakDetector
from lastout.pytest_plugin.shared_fixtures import runs
from lastout.pytest_plugin.shared_fixtures.controller import XdistController
from lastout.pytest_plugin.shared_fixtures.decorator import _check
from lastout.pytest_plugin.shared_fixtures.deferred_teardown import (
    DeferredTeardown,
    _first_interrupt_ignored,
)
from lastout.pytest_plugin.shared_fixtures.packing import pickle_error
from lastout.pytest_plugin.shared_fixtures.parameters import UNKNOWN, ParameterNumbers, _equal
from lastout.pytest_plugin.shared_fixtures.placeholder_member import reap_scopes
from lastout.pytest_plugin.shared_fixtures.setup_teardown import SetupTeardown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support import Program


@pytest.fixture
def told() -> Iterator[audit_log.AuditLog]:
    """Traces of which nobody else takes note."""
    one = audit_log.AuditLog()
    yield one
    one.close()


def test_what_is_taken_note_of(told: audit_log.AuditLog, tmp_path: Path) -> None:
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
        (audit_log.DIRECTORY, "/tmp/x"),
        (audit_log.SCOPE, str(tmp_path / "s")),
        (audit_log.SHARED_MEMORY, f"/dev/shm/{memory.name}"),
    }
    assert told.take() == set()


def test_only_those_who_are_followed_are_told(told: audit_log.AuditLog) -> None:
    """An event of another kind is nobody's, and so is any where nobody is followed."""
    former = audit_log.follow_events(None)
    try:
        audit_log._hook("tempfile.mkdtemp", ("/tmp/x",))
        audit_log.follow_events(told)
        audit_log._hook("open", ("/tmp/x", "r", 0))
        audit_log._hook("tempfile.mkdtemp", ("/tmp/y",))
        with tempfile.TemporaryDirectory() as real:
            pass
    finally:
        audit_log.follow_events(former)
    assert told.take() == {(audit_log.DIRECTORY, "/tmp/y"), (audit_log.DIRECTORY, real)}


def test_a_child_that_closed_all_it_had() -> None:
    """Where the log is closed, nothing can be told, and nothing fails."""
    one = audit_log.AuditLog()
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
    setup_teardown = SetupTeardown.__new__(SetupTeardown)
    setup_teardown._rest = None
    setup_teardown.tear_down()


def test_remains_that_cannot_be_cleaned(program: Callable[..., Program], tmp_path: Path) -> None:
    """What an earlier run left and cannot be cleaned is named, with the name of that run."""
    program("""
        import os
        import lastout

        lastout.Scope("run-1").command(["sh", "-c", "test -e tidy"])
        lastout.Scope("other").directory()
        os.kill(os.getpid(), 9)
    """).end()
    [(name, outcome)] = reap_scopes(None, "run-")
    assert name == "run-1"
    assert outcome.failure is not None
    assert isinstance(outcome.failure.exception, CleanupFailed)
    (tmp_path / "program0" / "tidy").touch()
    assert list(reap_scopes(None, "run-")) == []
    assert lastout.reap().ok


def test_remains_are_warned_of(program: Callable[..., Program], tmp_path: Path) -> None:
    """What an earlier run left and cannot be cleaned is a warning of the next one, once."""
    program(f"""
        import os
        import lastout

        lastout.Scope("{runs.PYTEST_RUN}1").command(["sh", "-c", "test -e tidy"])
        os.kill(os.getpid(), 9)
    """).end()
    session: Any = SimpleNamespace()
    run = runs.SingleProcessRun(session)
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
        _run_state=SimpleNamespace(states=list),
        join=lambda: SimpleNamespace(artifacts=lambda: [artifact]),
    )
    state: Any = SimpleNamespace(member="m", begun=1, fixture="server")
    with pytest.warns(CleanupWarning, match="while it set up server"):
        runs.XdistWorkerRun._clear_remains(run, state)


def test_a_value_that_cannot_be_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot go to the other workers is torn down where it was made."""
    torn: list[object] = []

    def refuse(*_: object) -> None:
        raise TypeError("cannot be pickled")

    monkeypatch.setattr(runs, "pickled_copy", refuse)
    definition: Any = SimpleNamespace(teardown=torn.append)
    setup_teardown: Any = SimpleNamespace(tear_down=lambda: torn.append("rest"))
    with pytest.raises(TypeError, match="cannot be pickled"):
        runs._copied_or_undone(definition, "value", setup_teardown)
    assert torn == ["value", "rest"]


class Changeling(Exception):
    """An error that is another one when it arrives."""

    def __reduce__(self) -> tuple[object, ...]:
        return ValueError, ("changed",)


def test_an_error_that_does_not_arrive_as_it_was() -> None:
    """An error that becomes another one on its way is told by one that names it."""
    state: Any = SimpleNamespace(fixture="server", worker="gw0")
    _, error, text = pickling.loads(pickle_error(Changeling("x"), state))
    assert isinstance(error, SharedFixtureFailed)
    assert "Changeling: x" in str(error)
    assert "Changeling" in text


@pytest.fixture
def controller(tmp_path: Path) -> XdistController:
    """One that was not started."""
    one = XdistController.__new__(XdistController)
    one._path = str(tmp_path)
    one._notes, one._unclean = [], []
    one._workers = SimpleNamespace()  # type: ignore[assignment]
    one._run_state = SimpleNamespace(states=list)  # type: ignore[assignment]
    return one


def test_a_scope_that_outlives_the_run(controller: XdistController) -> None:
    """Where the scope is still there when all have left, that is told."""
    scope: Any = SimpleNamespace(leave=list)
    controller._leave(scope)
    assert "are still in the scope" in controller._notes[0]


def test_what_is_unclean_is_a_failure(
    controller: XdistController, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that passed, and left something that cannot be cleaned, has failed."""
    monkeypatch.setattr(XdistController, "_tell", lambda _: None)
    monkeypatch.setattr(
        XdistController, "_clean_after_tests", lambda one: one._unclean.append("something")
    )
    controller._scope = None
    session: Any = SimpleNamespace(exitstatus=pytest.ExitCode.OK)
    around: Any = controller.pytest_sessionfinish(session)
    next(around)
    with pytest.raises(StopIteration):
        next(around)
    assert session.exitstatus == pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def deferred_teardown() -> DeferredTeardown:
    """The end of a fixture that nobody waits for."""
    run_state: Any = SimpleNamespace(
        waits=lambda *_: nullcontext(),
        locked=lambda _: nullcontext(),
        set_state=lambda _: None,
    )
    state: Any = SimpleNamespace(
        worker="gw0", member="m", key="k", fixture="server", made=0, status=None
    )
    scope: Any = SimpleNamespace(artifacts=list)
    return DeferredTeardown(scope, run_state, lastout._identity.here(), state, lambda: None)


def test_a_child_that_comes_out_of_its_test(deferred_teardown: DeferredTeardown) -> None:
    """A forked child tears nothing down."""
    deferred_teardown._pid = 0
    deferred_teardown._finish = lambda: pytest.fail("torn down")
    deferred_teardown()


def test_ctrl_c_while_it_is_waited(
    deferred_teardown: DeferredTeardown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the waiting soon; what is shared is torn down first, and then it is raised."""
    happened: list[str] = []

    def look(_: DeferredTeardown) -> None:
        happened.append("look")
        if len(happened) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(DeferredTeardown, "_look_until_it_is_time", look)
    monkeypatch.setattr(DeferredTeardown, "_hurry", lambda _: happened.append("hurry"))
    deferred_teardown._finish = lambda: happened.append("torn down")
    with pytest.raises(KeyboardInterrupt):
        deferred_teardown()
    assert happened == ["look", "hurry", "look", "torn down"]


def test_all_that_fails_is_raised(deferred_teardown: DeferredTeardown) -> None:
    """When what the run has made cannot go, and tearing down fails too, both are raised."""

    def refuse() -> None:
        raise CleanupFailed("it stays", kind="file", location="x")

    def fail() -> None:
        raise ValueError("no")

    artifact: Any = SimpleNamespace(made_ns=5, lifetime="scope", release=refuse)
    deferred_teardown._scope.artifacts = lambda: (artifact,)  # type: ignore[method-assign]
    deferred_teardown._finish = fail
    with pytest.raises(BaseExceptionGroup, match="server was torn down") as caught:
        deferred_teardown._tear_down()
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
    around = LeakDetector.pytest_runtest_teardown(leaks, SimpleNamespace())  # type: ignore[arg-type]
    next(around)
    with pytest.raises(ValueError, match="teardown") as caught:
        around.throw(ValueError("teardown"))
    assert getattr(caught.value, "__notes__", []) == ([left] if left else [])


def test_processes_that_are_not_looked_for() -> None:
    """Where processes cannot be listed, or may be left, nobody looks for them."""
    leaks: Any = SimpleNamespace(_sees_processes=False)
    owner: Any = SimpleNamespace(paths={(audit_log.SCOPE, "/nowhere")})
    assert LeakDetector._found(leaks, owner, frozenset()) == []
    assert list(LeakDetector._children(leaks)) == []


def test_a_parameter_that_is_like_no_other() -> None:
    """One that does not equal its own copy is written down as unknown, and fails whoever asks."""
    run_state: Any = SimpleNamespace(locked=lambda _: nullcontext(), params=lambda _: None)
    fixture_identity: Any = SimpleNamespace(params=lambda names: {name: object() for name in names})
    definition: Any = "tests/conftest.py::tree"
    parameters = ParameterNumbers(run_state, fixture_identity)
    assert parameters.asked(definition, {"backend"}) == {"backend": UNKNOWN}
    with pytest.raises(UsageError, match="asks for 'backend' by getfixturevalue"):
        parameters.check(definition, {"backend": 0}, "gw0")

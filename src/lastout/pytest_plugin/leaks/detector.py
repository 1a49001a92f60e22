"""Detector: find the things that a test leaves behind, for `--lastout-leaks`.

thing                  belongs to the test if
processes              they run with its mark in their environment, or are children
                       of this process or of its fork server, and came during the test
temporary directories  this process or a forked child made them during the test
shared memory, scopes  the same

Things made while a fixture of a wider scope is set up belong to the session, at whose
end the detector looks for them.  So things of other workers, and of other programs of this
user, never count as the test's.

Tested by: tests/pytest_plugin/test_leaks.py, tests/pytest_plugin/test_faults.py
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from time import monotonic, sleep

import pytest

from ..._identity import new_token
from ..._platform.files import shared_memory_file
from ..._platform.pids import (
    can_list_processes,
    command_of,
    environment_of,
    has_in_environment,
    parent_of,
    process_facts,
    process_ids,
)
from ...errors import LastoutError, LeakWarning, UsageError
from ...layout import LEAKS_VARIABLE, PYTEST_RUN, SCOPE_LOCK
from .audit_log import DIRECTORY, SCOPE, SHARED_MEMORY, AuditLog, follow_events
from .background_processes import is_background_process, kept_directories, runs_fork_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator
    from typing import Any, Final

PROCESS: Final = "process"
KINDS: Final = (PROCESS, DIRECTORY, SHARED_MEMORY, SCOPE)
MARKER: Final = "lastout_may_leave"
_GRACE: Final = 1.0  # seconds for things that are about to go
_LOOK: Final = 0.02


class LeakOwner:
    """A test or the session, with the things that were made for it.

    Args:
        session: the prefix of all marks of this session.

    Attributes:
        mark: the mark in the environment of its processes.
        paths: kind and path of each thing that was made.
    """

    def __init__(self, session: str) -> None:
        self.mark = f"{session}.{new_token()}"
        self.paths: set[tuple[str, str]] = set()


class LeakDetector:
    """Watches over the tests of one process.

    Args:
        error: whether a leak is an error of the test, and not just a warning.
    """

    def __init__(self, error: bool) -> None:
        self._error = error
        self._sees_processes = can_list_processes()
        self._audit_log = AuditLog()
        self._marks = new_token()
        self._session = self._test = LeakOwner(self._marks)
        self._pids: set[int] = set()  # processes that do not belong to the test
        self._left: list[str] = []
        self._before = os.environ.get(LEAKS_VARIABLE)
        self._make_owner(self._session)
        self._outer = follow_events(self._audit_log)  # the log of a pytest around this pytest

    def _make_owner(self, owner: LeakOwner) -> None:
        os.environ[LEAKS_VARIABLE] = owner.mark

    # Tests and fixtures.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None, None, None]:
        """Count things that are made from now on as this test's."""
        self._session.paths |= self._audit_log.take()
        self._test = LeakOwner(self._marks)
        self._pids = set(process_ids()) if self._sees_processes else set()
        self._make_owner(self._test)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Count things that a fixture of a wider scope makes as the session's."""
        if fixturedef.scope == "function" or os.environ.get(LEAKS_VARIABLE) == self._session.mark:
            return (yield)
        self._test.paths |= self._audit_log.take()
        before = set(self._children())
        self._make_owner(self._session)
        try:
            return (yield)
        finally:
            self._make_owner(self._test)
            self._session.paths |= self._audit_log.take()
            self._pids.update(set(self._children()) - before)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Look for leaks when the fixtures of the test are torn down."""
        recorded = _looked_after()  # the last test's teardown leaves the scope of the run
        try:
            result = yield
        except BaseException as error:
            left = self._end_of(item, recorded)
            if left:
                error.add_note(left)
            raise
        left = self._end_of(item, recorded)
        if left and self._error:
            pytest.fail(left, pytrace=False)
        if left:
            item.warn(LeakWarning(left))
        return result

    def _end_of(self, item: pytest.Item, recorded: set[str]) -> str:
        self._test.paths |= self._audit_log.take()
        self._make_owner(self._session)
        left = self._stays(self._test, _allowed(item), recorded)
        self._test = self._session
        lines = [f"\n  {kind}: {what}" for kind, what in left]
        return f"{item.nodeid} left behind:{''.join(lines)}" if lines else ""

    # The session.

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Look for leaks when all fixtures are torn down."""
        result = yield
        follow_events(self._outer)
        self._session.paths |= self._audit_log.take()
        self._audit_log.close()
        if self._before is None:
            del os.environ[LEAKS_VARIABLE]
        else:
            os.environ[LEAKS_VARIABLE] = self._before
        self._pids = set()
        own = [f"{kind}: {what}" for kind, what in self._stays(self._session)]
        output = getattr(session.config, "workeroutput", None)  # pytest-xdist passes this on
        if output is not None:
            output["lastout_leaks"] = own
        else:
            self._left += own
        if self._left and self._error and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return result

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over the leaks that a worker of pytest-xdist found at its end."""
        self._left += getattr(node, "workeroutput", {}).get("lastout_leaks", [])

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the leaks of fixtures of wider scopes."""
        if self._left:
            terminalreporter.section("left behind by fixtures of wider scopes")
            for line in self._left:
                terminalreporter.line(line)

    # Looking.

    def _stays(
        self,
        owner: LeakOwner,
        allowed: frozenset[str] = frozenset(),
        recorded: Collection[str] = (),
    ) -> list[tuple[str, str]]:
        """The things that remain after a little while, and that no scope will clean."""
        owner.paths = {(kind, path) for kind, path in owner.paths if path not in recorded}
        left = self._found(owner, allowed)
        if left:
            gc.collect()  # because objects may remove things when they are collected
        end = monotonic() + _GRACE
        while left and monotonic() < end:
            sleep(_LOOK)  # because no event tells that a directory goes
            left = self._found(owner, allowed)
        return left

    def _found(self, owner: LeakOwner, allowed: frozenset[str]) -> list[tuple[str, str]]:
        paths = {(kind, path) for kind, path in owner.paths if kind not in allowed}
        there = [(kind, path) for kind, path in sorted(paths) if _is_left(kind, path)]
        if PROCESS in allowed or not self._sees_processes:
            return there
        return [*((PROCESS, what) for what in self._processes(owner)), *there]

    def _processes(self, owner: LeakOwner) -> Iterator[str]:
        mark = f"{LEAKS_VARIABLE}={owner.mark}".encode()
        for pid in sorted(set(process_ids()) - self._pids):
            mine = owner is not self._session and self._is_child(pid)
            if mine or has_in_environment(pid, mark):
                facts, command = process_facts(pid), command_of(pid)
                if facts and not facts.ending and not is_background_process(pid):
                    yield f"{pid} {command}"

    def _children(self) -> Iterator[int]:
        if self._sees_processes:
            yield from (pid for pid in set(process_ids()) - self._pids if self._is_child(pid))

    def _is_child(self, pid: int) -> bool:
        """Whether it is a child of this process or its fork server, and not the session's."""
        if parent_of(pid) == os.getpid():
            return not has_in_environment(pid, f"{LEAKS_VARIABLE}={self._session.mark}".encode())
        # By the mark of any test, because children of a fork server have the mark of the first
        # test that needed the server.
        mark = f"{LEAKS_VARIABLE}={self._marks}.".encode()
        marked = any(entry.startswith(mark) for entry in environment_of(pid))
        return marked and runs_fork_server(pid) and not is_background_process(pid)


def _is_left(kind: str, path: str) -> bool:
    if kind == SCOPE:
        mine = not os.path.basename(path).startswith(PYTEST_RUN)  # the run's goes last
        return mine and os.path.exists(os.path.join(path, SCOPE_LOCK))
    if kind == DIRECTORY:
        # Deeper paths are left out, because they belong to a directory around them, or pytest's.
        inside = os.path.realpath(os.path.dirname(path))
        right_there = inside == os.path.realpath(tempfile.gettempdir()) and os.path.isdir(path)
        return right_there and path not in kept_directories()
    return os.path.exists(path)


def _looked_after() -> set[str]:
    """The things that the scopes of this process are going to clean."""
    if "lastout._scopes.scope" not in sys.modules:
        return set()
    from ..._scopes.membership.membership import joined
    from ..._scopes.records.survey import ScopeSurvey

    found = set()
    for membership in list(joined.values()):
        try:
            with membership.journal.lock_scope() as held:
                found |= {one.location for one in ScopeSurvey(held, membership.path).unresolved()}
        except (LastoutError, OSError):
            continue  # a test has broken the scope, which cannot clean anything
    return found | {shared_memory_file(location) or "" for location in found}


def _allowed(item: pytest.Item) -> frozenset[str]:
    allowed: set[str] = set()
    for marker in item.iter_markers(MARKER):
        unknown = set(marker.args) - set(KINDS)
        if unknown or not marker.args:
            raise UsageError(f"{MARKER} of {item.nodeid} takes some of {KINDS}, not {marker.args}")
        allowed.update(marker.args)
    return frozenset(allowed)

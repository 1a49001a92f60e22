"""Run state: files in the scope, by which the processes of one test run communicate.

    fixture-<key>.lock      held by the worker that sets it up or tears it down
    fixture-<key>.state     its state: a `FixtureState`, in JSON
    fixture-<key>.value     its value, or the error it failed with, pickled
    params-<key>.lock/.list the parameters that a fixture was asked for, in order
    waiting-<worker>        a worker that has no tests left to run, and waits to tear down
    workers                 the state of all workers, by the controller, in JSON

The files are removed with the scope's directory, in which no other user can write.

Tested by: tests/pytest_plugin/test_shared.py, tests/pytest_plugin/test_crashes.py
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager

from filelock import lock_descriptor

from ...backends.descriptors import PrivateDescriptor
from .messages import FixtureState, WorkersState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_LOOK: Final = 0.01  # seconds between two tries to get a lock


class RunState:
    """The files of one run.

    Args:
        path: the directory of its scope.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Hold the lock of this key for the block; waits for it without limit.

        The lock of a killed process is free at once, even if it left children.
        """
        lock = PrivateDescriptor(self._file(f"{key}.lock"), os.O_RDWR | os.O_CREAT)
        try:
            lock_descriptor(lock.number, poll_interval=_LOOK)
            yield
        finally:
            lock.close()

    # Fixtures.

    def state(self, key: str) -> FixtureState | None:
        """The state of a fixture; `None` before its set-up has begun."""
        found = self._read(f"fixture-{key}.state")
        return None if found is None else FixtureState(**json.loads(found))

    def states(self) -> list[FixtureState]:
        """The state of each fixture."""
        names = [name for name in os.listdir(self._path) if name.startswith("fixture-")]
        keys = [name[8:-6] for name in names if name.endswith(".state")]
        return [state for key in keys if (state := self.state(key))]

    def set_state(self, state: FixtureState) -> None:
        """Write the state of a fixture."""
        self._write(f"fixture-{state.key}.state", json.dumps(state.as_dict()).encode())

    def value(self, key: str) -> bytes:
        """The pickled value of a fixture, or the error that its set-up failed with."""
        found = self._read(f"fixture-{key}.value")
        assert found is not None, "a value is written before it is said to be there"
        return found

    def set_value(self, key: str, pickled: bytes) -> None:
        """Write the pickled value, or error, of a fixture for the other workers."""
        self._write(f"fixture-{key}.value", pickled)

    # Parameters.

    def params(self, key: str) -> bytes | None:
        """The pickled parameters that a fixture was asked for."""
        return self._read(f"params-{key}.list")

    def set_params(self, key: str, pickled: bytes) -> None:
        """Write the parameters of a fixture; the caller holds their lock."""
        self._write(f"params-{key}.list", pickled)

    # Workers.

    def waiting(self) -> dict[str, str]:
        """The workers that wait to tear down, each with its token as a member."""
        names = [name for name in os.listdir(self._path) if name.startswith("waiting-")]
        found = {name[8:]: self._read(name) for name in names}
        return {worker: token.decode() for worker, token in found.items() if token is not None}

    @contextmanager
    def waits(self, worker: str, member: str) -> Iterator[None]:
        """Mark a worker, for the block, as waiting to tear down."""
        self._write(f"waiting-{worker}", member.encode())
        try:
            yield
        finally:
            os.unlink(self._file(f"waiting-{worker}"))

    def workers(self) -> WorkersState | None:
        """The state of all workers; `None` before the controller has written it."""
        found = self._read("workers")
        return None if found is None else WorkersState(**json.loads(found))

    def set_workers(self, workers: WorkersState) -> None:
        """Write the state of all workers."""
        self._write("workers", json.dumps(workers.as_dict()).encode())

    # Files.

    def _file(self, name: str) -> str:
        return os.path.join(self._path, name)

    def _read(self, name: str) -> bytes | None:
        try:
            with open(self._file(name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _write(self, name: str, data: bytes) -> None:
        """Replace a file as a whole, so that a process killed meanwhile leaves the old content."""
        draft = self._file(f".{name}.{os.getpid()}")
        with open(draft, "wb") as file:
            file.write(data)
        os.replace(draft, self._file(name))

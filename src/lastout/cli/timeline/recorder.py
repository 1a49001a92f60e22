"""Recorder: keeps journals readable until a picture is drawn of them.

A member that leaves no artifacts removes its journal, and the last member removes all
journals.  An open file can be read after its name is removed, with records that are written
later, so the recorder opens each journal as soon as it appears.

Tested by: tests/cli/test_recorder.py, tests/cli/test_timeline.py
"""

from __future__ import annotations

import os
from threading import Event, Thread
from time import monotonic_ns

from ..._identity import Identity, has_ended
from ..._platform import pids
from ..._platform.changes import DirectoryChanges
from ..._platform.masks import AllBlocked
from ..._scopes.records.journal import parse
from ...backends.journals import read_all
from ...errors import LastoutError
from ...layout import GARBAGE, JOURNAL, SCOPE_LOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final, Self

_LOOK: Final = 0.1  # seconds between two looks without an event
_REST: Final = 0.005  # seconds between two looks, at least


class JournalRecorder:
    """Follows one scope, and scopes that descendants of this process join, while entered.

    Args:
        root: the directory that the scopes lie in.
        scope: the name of the one scope.

    Attributes:
        gone: when a member was found to be out, by its token: its process had ended, or
            its journal was removed.
    """

    def __init__(self, root: str, scope: str) -> None:
        self._root = root
        self._ours = {scope}
        self._open: dict[str, tuple[str, int]] = {}  # token: scope, descriptor
        self._known: dict[str, Identity] = {}
        self._over = Event()
        self._changes = DirectoryChanges(SCOPE_LOCK)
        self._thread = Thread(target=self._follow, name="lastout-recorder", daemon=True)
        self.gone: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._look()
        # Signals are blocked, because the main thread waits for them.
        with AllBlocked():
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._changes.__exit__(kind, error, trace)
        for _, number in self._open.values():
            os.close(number)
        self._open.clear()

    def stop(self) -> None:
        """Stop following; open journals can still be read."""
        self._over.set()
        self._thread.join()
        self._look()

    def journals(self) -> dict[str, bytes]:
        """The content of each journal that was ever seen, by the token of its member."""
        return {
            token: read_all(number)
            for token, (scope, number) in self._open.items()
            if scope in self._ours
        }

    def _follow(self) -> None:
        while not self._over.is_set():
            self._changes.wait(_LOOK)
            self._look()
            self._over.wait(_REST)

    def _look(self) -> None:
        scopes = _names(self._root)
        self._changes.follow([self._root, *(f"{self._root}/{scope}" for scope in scopes)])
        there = set()
        for scope in scopes:
            for name in _names(f"{self._root}/{scope}"):
                if name.endswith(JOURNAL):
                    there.add(name.removesuffix(JOURNAL))
                    self._take(scope, name)
        now = monotonic_ns()
        for token in self._open.keys() - self.gone.keys():
            if token not in there or has_ended(self._who(token)):
                self.gone[token] = now

    def _take(self, scope: str, name: str) -> None:
        token = name.removesuffix(JOURNAL)
        if token not in self._open:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            try:
                self._open[token] = scope, os.open(f"{self._root}/{scope}/{name}", flags)
            except OSError:
                return  # it was removed just now, or no descriptors are left
        if scope not in self._ours and pids.descends_from(self._who(token).pid or 0, os.getpid()):
            self._ours.add(scope)

    def _who(self, token: str) -> Identity:
        """The identity of a member; without a pid until it has recorded it."""
        if token not in self._known:
            try:
                who = parse(token, read_all(self._open[token][1])).who
            except LastoutError:
                who = Identity(None)
            if who.pid is None:
                return who
            self._known[token] = who
        return self._known[token]


def _names(directory: str) -> list[str]:
    """The names in a directory, except hidden names."""
    try:
        return [name for name in os.listdir(directory) if not name.startswith((".", GARBAGE))]
    except OSError:
        return []  # it was swept, or is no directory

"""Errors of scopes; their public names are in `lastout.errors`.

Tested by: tests/shared/test_bad_input.py, tests/shared/test_scope.py
"""

from __future__ import annotations

from . import HandlerTimeout, LastoutError, UsageError


class ArtifactExists(UsageError, FileExistsError):
    """An artifact to be made exists already; it was not touched.

    Attributes:
        kind: the kind of artifact.
        location: where it is.
    """

    kind: str
    location: str


class ArtifactMissing(UsageError, FileNotFoundError):
    """An artifact that should exist does not.

    Attributes:
        kind: the kind of artifact.
        location: where it should be.
    """

    kind: str
    location: str


class ArtifactReplaced(LastoutError):
    """Something else lies where an artifact was; it was left alone.

    Attributes:
        kind: the kind of artifact.
        location: where it is.
    """

    kind: str
    location: str


class UnknownKind(LastoutError):
    """A kind of artifact that nothing here can clean: it is of a newer version, or of a package.

    What is recorded of it stays recorded.

    Attributes:
        kind: the kind that was found.
    """

    kind: str


class UnusableKind(UnknownKind):
    """A kind that a package brings cannot be used: it fails on import, or its name is taken."""


class CleanupFailed(LastoutError):
    """An artifact could not be cleaned; it stays recorded.

    Attributes:
        kind: the kind of artifact.
        location: its path, name or other address.
    """

    kind: str
    location: str


class CleanupTimeout(CleanupFailed, HandlerTimeout):
    """An artifact was not cleaned in time; it stays recorded."""


class JournalTooNew(LastoutError):
    """A member's journal was written by a newer lastout; nothing was touched.

    Attributes:
        scope: the path of the scope.
        member: the token of the member.
        format: the version of its format.
    """

    scope: str
    member: str
    format: int


class SystemRefused(LastoutError, OSError):
    """The system refused something that a scope needs, for example space or a descriptor.

    Attributes:
        path: the path that the system refused to use.
        errno: the system's number for the reason, or `None`.
    """

    path: str

    def __init__(self, message: str, *, number: int | None = None, **data: object) -> None:
        super().__init__(message, number=number, **data)
        self.errno = number


class ScopeGone(SystemRefused):
    """The directory or a journal of a scope was removed, or taken over, while in use."""


class ScopeBusy(LastoutError, TimeoutError):
    """Another process holds a scope, and did not unlock it in time.

    Attributes:
        path: the scope's directory.
    """

    path: str


class RootRefused(LastoutError, PermissionError):
    """The directory for scopes cannot be trusted; nothing in it was touched.

    Attributes:
        path: the directory, or the path in it that cannot be trusted.
        file_system: the type of its file system, if that is why; else empty.
    """

    path: str
    file_system: str = ""


class JournalDamaged(LastoutError):
    """A member's journal contains something else than records.

    Attributes:
        scope: the path of the scope.
        member: the token of the member.
    """

    scope: str
    member: str


class CleanupBlocked(CleanupFailed):
    """An artifact stays, because an artifact that must go before it could not be cleaned."""


class CleanupWarning(RuntimeWarning):
    """An artifact was not cleaned at the end of a `with Scope(...)` block; it stays recorded."""


class GuardianWarning(RuntimeWarning):
    """A scope that wants a guardian has none, so the next to join, leave or reap cleans."""


class SharedFixtureFailed(LastoutError):
    """Another worker of the test run could not set up a shared fixture.

    Stands for the worker's error, if that cannot be pickled.

    Attributes:
        fixture: the name and place of the fixture.
        worker: the worker that tried.
    """

    fixture: str
    worker: str


class LeakWarning(UserWarning):
    """A test has left something behind; see `--lastout-leaks`."""


ALL = {name for name, value in vars().items() if getattr(value, "__module__", "") == __name__}
for _name in ALL:  # so that tracebacks show, and pickles contain, the public name
    vars()[_name].__module__ = __package__

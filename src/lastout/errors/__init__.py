"""The errors that lastout raises, all derived from `LastoutError`.

Tested by: tests/process/test_report.py, tests/shared/test_bad_input.py
"""

from __future__ import annotations

from .._platform.imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .shared import ArtifactExists as ArtifactExists
    from .shared import ArtifactMissing as ArtifactMissing
    from .shared import ArtifactReplaced as ArtifactReplaced
    from .shared import CleanupBlocked as CleanupBlocked
    from .shared import CleanupFailed as CleanupFailed
    from .shared import CleanupTimeout as CleanupTimeout
    from .shared import CleanupWarning as CleanupWarning
    from .shared import GuardianWarning as GuardianWarning
    from .shared import JournalDamaged as JournalDamaged
    from .shared import JournalTooNew as JournalTooNew
    from .shared import LeakWarning as LeakWarning
    from .shared import RootRefused as RootRefused
    from .shared import ScopeBusy as ScopeBusy
    from .shared import ScopeGone as ScopeGone
    from .shared import SharedFixtureFailed as SharedFixtureFailed
    from .shared import SystemRefused as SystemRefused
    from .shared import UnknownKind as UnknownKind
    from .shared import UnusableKind as UnusableKind


class LastoutError(Exception):
    """The base of every error that lastout raises on purpose.

    The text of each error says what happened, where, and what to do; its attributes hold
    the same data.  Every error can be pickled, so an error made in a worker reaches its
    parent whole.
    """

    def __init__(self, message: str, **data: object) -> None:
        super().__init__(message)
        self.__dict__.update(data)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), str(self), dict(self.__dict__))


def _rebuild(cls: type[LastoutError], message: str, data: dict[str, object]) -> LastoutError:
    return cls(message, **data)


class UsageError(LastoutError, ValueError):
    """The caller, or a kind of a package, asked for something impossible; nothing was changed.

    A thing that `create` of such a kind has made by then is there, and stays recorded.
    """


class HandlerTimeout(LastoutError, TimeoutError):
    """An exit handler did not finish in its time and was abandoned.

    Attributes:
        handler: the name of the handler.
        seconds: how long it was waited for.
    """

    handler: str
    seconds: float


def __getattr__(name: str) -> object:
    # The errors of scopes are loaded at their first use, because most programs have no scope.
    shared = load(f"{__name__}.shared")
    if name not in shared.ALL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    error: object = getattr(shared, name)
    globals()[name] = error
    return error


def __dir__() -> list[str]:
    from .shared import ALL

    return sorted({*globals(), *ALL})

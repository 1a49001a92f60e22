"""Which modules are mutated, and the tests that must see it."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """A module.

    Attributes:
        file: where, below `src/lastout`.
        tests: those that see most, and soon.
        more: those that only what survives is shown to.
    """

    file: str
    tests: tuple[str, ...]
    more: tuple[str, ...]

    @property
    def name(self) -> str:
        """How it is called for."""
        return self.file.rpartition("/")[2].removesuffix(".py")


_SCOPES = (
    "tests/shared/test_reaper.py",
    "tests/shared/test_recovery.py",
    "tests/shared/test_bad_input.py",
    "tests/shared/test_scope.py",
    "tests/shared/test_inspection.py",
)
_SLOW = (
    "--deselect=tests/process/test_registry.py::test_a_daemon_thread_that_never_stops_registering",
    "--deselect=tests/process/test_unwinding.py::test_time_for_all",
)
_PROCESSES = (
    "tests/process/test_registry.py",
    "tests/process/test_interrupts.py",
    "tests/process/test_inheriting.py",
)

TARGETS = (
    Target(
        "_scopes/records/journal.py",
        ("tests/shared/test_journal.py", "tests/properties/test_journal.py"),
        (*_SCOPES, "tests/cli/test_history.py"),
    ),
    Target(
        "_scopes/records/plan.py",
        ("tests/shared/test_plan.py", "tests/properties/test_plan.py"),
        ("tests/shared/test_reaper.py", "tests/shared/test_scope.py"),
    ),
    Target(
        "_scopes/records/containment.py",
        ("tests/shared/test_containment.py", "tests/properties/test_containment.py"),
        ("tests/shared/test_survey.py", "tests/properties/test_plan.py"),
    ),
    Target(
        "_scopes/records/liveness.py",
        (
            "tests/shared/test_reaper.py",
            "tests/properties/test_liveness.py",
            "tests/shared/test_watch.py",
        ),
        (*_SCOPES, "tests/shared/test_handover.py", "tests/shared/test_joining.py"),
    ),
    Target(
        "_scopes/reaping/reaper.py",
        ("tests/shared/test_reaper.py",),
        (*_SCOPES, "tests/shared/test_surroundings.py"),
    ),
    Target(
        "_scopes/records/survey.py",
        ("tests/shared/test_survey.py", "tests/shared/test_reaper.py"),
        (*_SCOPES, "tests/shared/test_release.py", "tests/shared/test_joining.py"),
    ),
    Target(
        "_scopes/reaping/cleaning_pass.py",
        ("tests/shared/test_run.py", "tests/shared/test_reaper.py"),
        (*_SCOPES, "tests/shared/test_release.py", "tests/shared/test_surroundings.py"),
    ),
    Target(
        "_exits/stack.py",
        (
            "tests/process/test_stack.py",
            "tests/process/test_unwinding.py",
            *_SLOW,
        ),
        ("tests/properties/test_stack.py", *_PROCESSES),
    ),
    Target(
        "_exits/registry.py",
        ("tests/process/test_registry.py", *_SLOW),
        (*_PROCESSES[1:], "tests/process/test_signals_setup.py", "tests/process/test_carrier.py"),
    ),
    Target(
        "_exits/unwinding.py",
        ("tests/process/test_unwinding.py", "tests/process/test_stack.py", *_SLOW),
        _PROCESSES,
    ),
)

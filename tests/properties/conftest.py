"""How long the properties are searched: `--hypothesis-profile=long` for a real search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import pytest

# How long an example takes says something about the machine, not about lastout.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
patient = settings.get_profile("patient")
# The same examples each time, so that a run of the suite says something about a change.
settings.register_profile("bounded", patient, max_examples=100, derandomize=True)
settings.register_profile("quick", settings.get_profile("bounded"), max_examples=40)
settings.register_profile("long", patient, max_examples=3_000, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Search as long as was said, or as the run is long."""
    if settings.get_current_profile_name() == "default":
        settings.load_profile("bounded" if config.getoption("--all") else "quick")

"""How long the properties are searched: `--hypothesis-profile=long` for a real search."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine, not about lastout.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
patient = settings.get_profile("patient")
# The same examples each time, so that a run of the suite says something about a change.
settings.register_profile("bounded", patient, max_examples=100, derandomize=True)
settings.register_profile("long", patient, max_examples=3_000, print_blob=True)
if settings.get_current_profile_name() == "default":
    settings.load_profile("bounded")

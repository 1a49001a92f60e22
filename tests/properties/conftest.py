"""How long the properties are searched: `--hypothesis-profile=long` for a real search."""

from __future__ import annotations

from hypothesis import settings

# The same examples each time, so that a run of the suite says something about a change.
settings.register_profile("bounded", deadline=None, max_examples=100, derandomize=True)
settings.register_profile("long", deadline=None, max_examples=3_000, print_blob=True)
if settings.get_current_profile_name() == "default":
    settings.load_profile("bounded")

"""Another build of lastout, for tests that have two of them meet.

By hand, for that takes git:

    git archive REVISION src | tar -x -C DIRECTORY
    OTHER_BUILD=DIRECTORY/src python -m pytest tests/shared/test_upgrades.py
    OTHER_BUILD=DIRECTORY/src python -m pytest tests/cli/test_versions.py
"""

from __future__ import annotations

import os

import pytest

OTHER_BUILD = os.environ.get("OTHER_BUILD", "")
by_hand = pytest.mark.skipif(
    not OTHER_BUILD, reason="by hand: OTHER_BUILD=... as support/builds.py"
)

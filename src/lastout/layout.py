"""Layout: the names on disk, in the environment and in the command lines of processes.

Different versions of lastout meet by these names, and people read them, so a name keeps its
meaning for good.  `docs/reference/journal.md` explains each.  The names that only the
processes of one test run use are in their `run_state.py`.

Tested by: tests/test_layout.py
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# The usual root: in XDG_RUNTIME_DIR; or with a hyphen and the user's number in the directory
# for temporary files.
USUAL_ROOT: Final = "lastout"

# In a root, beside the scopes, whose names users choose.
GARBAGE: Final = "garbage-"  # then a token, a hyphen, and the name of the scope
TRUSTED: Final = ".trusted"
PYTEST_RUN: Final = "pytest-"  # begins what the scope of a test run is called

# In a scope.
SCOPE_LOCK: Final = "scope.lock"
CLEANER_LOCK: Final = "cleaner.lock"
ORPHANS_LOCK: Final = "orphans.lock"
GUARDIAN_LOCK: Final = "guardian.lock"
JOURNAL: Final = ".journal"  # behind the token of its member
UNPUBLISHED: Final = ".new"  # behind a dot and the token
# At the end of the token of a member that only serves other members, so that it is known
# without reading its journal.
HELPER: Final = "-helper"

# In the environment.
ROOT_VARIABLE: Final = "LASTOUT_ROOT"
SCOPE_VARIABLE: Final = "LASTOUT_SCOPE"
ARTIFACT_VARIABLE: Final = "LASTOUT_ARTIFACT"
LEAKS_VARIABLE: Final = "LASTOUT_PYTEST_LEAKS"

# In command lines, as a word of its own.
GUARDIAN: Final = "lastout-guardian"
KEEPER: Final = "lastout-keeper"

# The name of a thread; the kernel allows no longer name.
UNWINDING: Final = "lastout-unwinds"

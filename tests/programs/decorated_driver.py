"""Start one child whose work is in a module that registers by decoration."""

from __future__ import annotations

import importlib
import json
import os
import sys

from say import say

import lastout

if __name__ == "__main__":
    kind, module = json.loads(sys.argv[1])

    import kin

    kin.start(kind, importlib.import_module(module).work)


@lastout.register
def goodbye() -> None:
    """At the module level of the main script, which spawned children import too."""
    say("ran", "goodbye", os.getpid())


say("registered", "goodbye", os.getpid())
say("lived", "main", os.getpid())

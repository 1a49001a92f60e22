"""`python -m lastout` is the command `lastout`.

Tested by: tests/test_frame.py, tests/cli/test_list_show.py
"""

from __future__ import annotations

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())

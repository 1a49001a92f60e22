#!/usr/bin/env bash
# CPython 3.15.2: what goes wrong when a lazily imported module is first used (PEP 810) keeps its
# own type: an OSError in it comes out as that OSError.  An ImportError hangs on it as its cause
# (__cause__), that is the wrong way round.  Each further use runs the module's code again.
#
# Guess: an ImportError at the place of use, caused by the OSError; or the first failure is kept.
# Why: the ImportError only names the line of the import statement; it is made after the error.
# So: `except ImportError` round the use of an optional module catches no more than round its
# import; a handler that walks __cause__ to the root of an error ends at the wrong one; and a
# module that fails half-way through (no descriptor left, disk full) does its first half once
# more with each use, in exit handlers too.
set -euo pipefail

python=${PYTHON:-python3.15}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >opens.py <<'PYTHON'
print("begun", flush=True)
open("there/is/none")
PYTHON
cat >main.py <<'PYTHON'
lazy import opens

for _ in range(2):
    try:
        opens.use
    except Exception as error:
        print(type(error).__name__, "caused by", type(error.__cause__).__name__)
PYTHON
cat >stated <<'TEXT'
begun
FileNotFoundError caused by ImportError
begun
FileNotFoundError caused by ImportError
TEXT

"$python" main.py >seen
diff -u stated seen
echo "as stated on $("$python" -V)"

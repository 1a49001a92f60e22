#!/usr/bin/env bash
# PyPy 8.0.1 (Python 3.11.17; Debian's pypy3): sys.__unraisablehook__ does not take what
# CPython's takes: an UnraisableHookArgs of the five documented fields raises TypeError:
# "expected str, got NoneType object".  It wants a sixth, extra_line, which is no part of
# the tuple and can only be passed by name, in a dict.
#
# Guess: who can make the tuple of five on CPython can make it on PyPy; the hook prints.
# So: a program that hands its own errors to the hook (exit handlers, callbacks, threads of
# its own) raises in the very place that must not.  `kind(fields, {"extra_line": ""})` works.
set -euo pipefail

python=${PYTHON:-pypy3}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import sys

kind = next(each for each in tuple.__subclasses__() if each.__name__ == "UnraisableHookArgs")
error = ValueError("why")
fields = (ValueError, error, None, "Exception ignored in", print)
for more in (), ({"extra_line": ""},):
    try:
        sys.__unraisablehook__(kind(fields, *more))
    except TypeError as wrong:
        print("TypeError:", wrong, file=sys.stderr)
PYTHON
cat >stated <<'TEXT'
TypeError: expected str, got NoneType object
Exception ignored in <built-in function print>
ValueError: why
TEXT

"$python" main.py 2>seen
diff -u stated seen
echo "as stated on" "$("$python" -V)"

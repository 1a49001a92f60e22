#!/usr/bin/env bash
# CPython 3.15.2: the default sys.unraisablehook imports some fifty modules when it shows its
# first error: 39 ms, more than 100 on a busy machine; 3.13.18 imports none, 3.14.10 one (0.2
# and 1 ms).
#
# Guess: the hook is written in C and prints by itself: no import, well under a millisecond.
# Why: from 3.15 it formats by the module traceback, with colours and suggestions, as the
# interpreter does for uncaught errors.
# So: the first exit handler or __del__ that fails costs all others tens of milliseconds of
# the little time that a process has between SIGTERM and SIGKILL; code is run from files in
# a process that ends, maybe because the disk is full or the path is gone.  `import traceback`
# early pays for most of it when there is time; ast, dataclasses and three more are still to come.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import sys, time

class Fails:
    def __del__(self):
        1 / 0

if sys.argv[1:]:
    import traceback
object = Fails()
before = set(sys.modules)
begin = time.perf_counter()
del object
seconds = time.perf_counter() - begin
new = set(sys.modules) - before
print(f"{sys.version.split()[0]}: {len(new)} modules, {seconds * 1000:.1f} ms", file=sys.stderr)
print(" modules:", "none" if not new else "many" if len(new) > 20 else "few",
      *["with traceback"] * ("traceback" in new))
PYTHON
cat >stated <<'TEXT'
python3.13
 modules: none
python3.14
 modules: few
python3.15
 modules: many with traceback
imported before
 modules: few
TEXT

{
    for python in python3.13 python3.14 python3.15; do
        command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
        echo "$python"
        "$python" -I main.py 2>errors
        tail -n 1 errors >&2
    done
    echo "imported before"
    python3.15 -I main.py before 2>errors
    tail -n 1 errors >&2
} >seen
diff -u stated seen
echo "as stated"

#!/usr/bin/env bash
# CPython 3.14.10, 3.15.2 on Debian sid (libffi 3.8.0), Linux x86-64: `import ctypes` leaves a
# descriptor open on the file of libffi, for good; 3.13.18 there does so with the first
# callback (CFUNCTYPE).  Once all descriptors are closed, as a daemon does, 102 callbacks can
# be had in all, and each further one raises MemoryError without a word.
#
# Guess: importing a module leaves no descriptor behind: the loader maps a library and closes
# its file; and a callback needs memory only.
# Why: this libffi maps the code of callbacks (static trampolines) from its own file, a page
# at a time, and keeps the file open to do so.  Why 3.14 does that on import is not known.
# A program that is executed does not inherit it.  With libffi 3.4.4 of Debian 12 there is none.
# So: checks for leaked descriptors see one more, in whatever test imports ctypes first (by
# filelock or multiprocessing.sharedctypes, for instance), and the next free number is another
# than before.  A daemon imports ctypes after it has closed everything, or keeps this one.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import os

def on_libffi():
    paths = []
    for number in os.listdir("/proc/self/fd"):
        try:
            paths.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError: # the directory itself
            pass
    return sum("libffi" in path for path in paths)

print("before:", on_libffi())
import ctypes
print("imported:", on_libffi())
Callback = ctypes.CFUNCTYPE(ctypes.c_int)
callbacks = [Callback(lambda: 7)]
print("one callback:", on_libffi())
os.closerange(3, 256)
try:
    while len(callbacks) < 1000:
        callbacks.append(Callback(lambda: 7))
except MemoryError as error:
    print("closed: MemoryError", error.args, "after", len(callbacks))
else:
    print("closed: no error")
print("all work:", {callback() for callback in callbacks} == {7})
PYTHON
cat >stated <<'TEXT'
python3.13
before: 0
imported: 0
one callback: 1
closed: MemoryError () after 102
all work: True
python3.14
before: 0
imported: 1
one callback: 1
closed: MemoryError () after 102
all work: True
python3.15
before: 0
imported: 1
one callback: 1
closed: MemoryError () after 102
all work: True
TEXT

for python in python3.13 python3.14 python3.15; do
    command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
    echo "$python"
    "$python" main.py
done >seen
diff -u stated seen
echo "as stated"

#!/usr/bin/env bash
# CPython 3.13.18 (forkserver), 3.14.10 and 3.15.2 (where it is the default), Linux:
# an exit handler that the main script registers when it is imported runs in the fork server,
# after the main process is gone, and in no child.  The server takes itself for the main
# process: its name is MainProcess, and it has no parent_process().
#
# Guess: children have it, as under spawn, where each of them imports the script; or main
# alone, as under fork.  Nobody would think of the server.
# Why: the server imports the script before it forks (from 3.13.8 and 3.14.1 on), ends as any
# Python does, and a child clears atexit when it begins.
# So: a "last line" of a program comes twice, the second time when the shell has its prompt
# again; and `parent_process() is None` does not mean "the program itself".  Register under
# `if __name__ == "__main__"`, or in what the child runs.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import atexit, multiprocessing as mp, sys

@atexit.register
def show():
    print(f"  handler in {mp.current_process().name}, as {__name__},",
          "with" if mp.parent_process() else "without", "a parent", flush=True)

def child():
    print("  child works", flush=True)

if __name__ == "__main__":
    print(sys.argv[1], flush=True)
    mp.set_start_method(sys.argv[1])
    process = mp.Process(target=child)
    process.start()
    process.join()
PYTHON
cat >stated <<'TEXT'
fork
  child works
  handler in MainProcess, as __main__, without a parent
forkserver
  child works
  handler in MainProcess, as __main__, without a parent
  handler in MainProcess, as __mp_main__, without a parent
spawn
  child works
  handler in Process-1, as __mp_main__, with a parent
  handler in MainProcess, as __main__, without a parent
TEXT

for python in python3.13 python3.14 python3.15; do
    command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
    for method in fork forkserver spawn; do
        "$python" main.py "$method" | cat # ends when the server has ended as well
    done >seen
    diff -u stated seen
    echo "as stated on $("$python" -V)"
done

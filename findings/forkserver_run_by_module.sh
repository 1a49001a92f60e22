#!/usr/bin/env bash
# CPython 3.13.18 (forkserver), 3.14.10, 3.15.2 (default), Linux: `python main.py` and `python -m
# main` differ in who imports the main script.  As a script, the fork server does, and no child:
# what stands at its top is done once for all children.  By -m each child does, as under spawn;
# the server does not.
#
# Guess: the way in which a program is started is nothing to the fork server.
# Why: the server is handed the path of a main script to preload; by -m there is a name.
# So: the same exit handler at the top of a module runs in the server after all is over, or at
# the end of each child, depending on how the program was started (a console script has no
# main of this kind at all).  Do not draw conclusions for one from tests of the other, also of
# time: a heavy import is paid once, or by each child.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import atexit, multiprocessing as mp

print("  import as", __name__, "in", mp.current_process().name, flush=True)
atexit.register(lambda: print("  handler in", mp.current_process().name, flush=True))

def child():
    print("  child works", flush=True)

if __name__ == "__main__":
    for number in 1, 2:
        process = mp.get_context("forkserver").Process(target=child, name=f"child {number}")
        process.start()
        process.join()
PYTHON
cat >stated <<'TEXT'
main.py
  import as __main__ in MainProcess
  import as __mp_main__ in MainProcess
  child works
  child works
  handler in MainProcess
  handler in MainProcess
-m main
  import as __main__ in MainProcess
  import as __mp_main__ in child 1
  child works
  handler in child 1
  import as __mp_main__ in child 2
  child works
  handler in child 2
  handler in MainProcess
TEXT

for python in python3.13 python3.14 python3.15; do
    command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
    {
        echo main.py
        "$python" main.py | cat # ends when the server has ended as well
        echo "-m main"
        "$python" -m main | cat
    } >seen
    diff -u stated seen
    echo "as stated on $("$python" -V)"
done

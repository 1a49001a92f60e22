#!/usr/bin/env bash
# CPython 3.13.18 (forkserver), 3.14.10, 3.15.2, Linux: a main script that can be run, but not
# imported by the fork server, because it comes from standard input (`python - <main.py`) or
# raises there.  Process.start() raises EOFError on 3.13 and ConnectionResetError on 3.14.  On
# 3.15 it does not: the error is dropped, and each child imports the script anew.
#
# Guess: as under spawn: start() returns, and the child ends with exit code 1; on 3.15 too.
# Why: the server imports the script (from 3.13.8 and 3.14.1 on), and died of its errors up to
# 3.14; start() then talks to nobody.  3.15 passes over all that goes wrong in a preload.
# So: code around start() that only looks at exit codes fails on 3.13 and 3.14 where the
# server is the default.  On 3.15 what the script did before it raised is done in the server
# as well as in each child: the exit handler below runs in all three processes.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import atexit, multiprocessing as mp

@atexit.register
def show():
    print("  handler in", mp.current_process().name, "as", __name__, flush=True)

if __name__ == "__mp_main__" and mp.current_process().name == "MainProcess":
    raise RuntimeError("only in the server")

def child():
    print("  child works", flush=True)

if __name__ == "__main__":
    process = mp.get_context("forkserver").Process(target=child)
    try:
        process.start()
        process.join()
        print("  exit code", process.exitcode, flush=True)
    except Exception as error:
        print(" ", type(error).__name__, "from start()", flush=True)
PYTHON

cat >stated <<'TEXT'
python3.13
  EOFError from start()
  handler in MainProcess as __main__
  handler in MainProcess as __mp_main__
from standard input
  EOFError from start()
  handler in MainProcess as __main__
python3.14
  ConnectionResetError from start()
  handler in MainProcess as __main__
  handler in MainProcess as __mp_main__
from standard input
  ConnectionResetError from start()
  handler in MainProcess as __main__
python3.15
  child works
  exit code 0
  handler in ForkServerProcess-1 as __mp_main__
  handler in MainProcess as __main__
  handler in MainProcess as __mp_main__
from standard input
  exit code 1
  handler in MainProcess as __main__
TEXT

for python in python3.13 python3.14 python3.15; do
    command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
    echo "$python"
    "$python" main.py 2>/dev/null | LC_ALL=C sort # which ends when the server has ended as well
    echo "from standard input"
    "$python" - <main.py 2>/dev/null | LC_ALL=C sort
done >seen
diff -u stated seen
echo "as stated"

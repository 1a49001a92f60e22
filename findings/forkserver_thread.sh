#!/usr/bin/env bash
# CPython 3.14.10, 3.15.2, Linux: a thread that the main script starts when it is imported
# runs in the fork server as well (and in no child).  Where warnings are errors (-W error),
# as in many test runs, on 3.15 that thread ends the server at the first Process.start(),
# which raises EOFError, though the child is there and does its work, unknown to its parent;
# on 3.14 it goes through.
#
# Guess: the thread runs in main alone, and -W error is nothing to the fork server, whose
# very purpose is to fork from a process without threads.
# Why: from 3.15 the DeprecationWarning of a fork in a process with threads is raised as an
# error by os.fork() itself, in the parent, when the child is already there; the fork server
# does not expect that.
# So: start threads (a watcher, a heartbeat, a writer of logs) under the main guard or on
# first use, not where a module is imported.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import multiprocessing as mp, threading

stop = threading.Event()
threading.Thread(target=stop.wait, name="heartbeat", daemon=True).start()

def child():
    print("  child's threads:", *(thread.name for thread in threading.enumerate()), flush=True)

if __name__ == "__main__":
    process = mp.Process(target=child)
    try:
        process.start()
        process.join()
    except Exception as error:
        print(" ", type(error).__name__, "from start()", flush=True)
PYTHON
cat >stated <<'TEXT'
python3.14
  child's threads: MainThread
-W error
  child's threads: MainThread
python3.15
  child's threads: MainThread
-W error
  EOFError from start()
  child's threads: MainThread
DeprecationWarning: This process is multi-threaded
TEXT

for python in python3.14 python3.15; do
    command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
    echo "$python"
    "$python" main.py
    echo "-W error"
    # sort ends when the child has ended as well
    "$python" -W error main.py 2>errors | LC_ALL=C sort
    sed -n 's/ (pid=[0-9]*)//; s/, use of fork.*//; /^DeprecationWarning/p' errors
done >seen
diff -u stated seen
echo "as stated"

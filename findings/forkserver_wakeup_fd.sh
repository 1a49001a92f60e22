#!/usr/bin/env bash
# CPython 3.13.18 (forkserver), 3.14.10, 3.15.2 (default), Linux: signal.set_wakeup_fd() where
# the main script is imported holds in children by fork and by spawn, and not in those by
# forkserver, though signal handlers that were set beside it are there, and so is the socket.
#
# Guess: a child has both, or neither, as the server imported the script and then forked.
# Why: the server needs the descriptor for a wakeup pipe of its own and sets it to -1 in each
# child; of handlers it changes SIGCHLD and SIGINT only, and sets those back.
# So: a watcher of signals that is set up at import sleeps through all signals in such
# children.  Look what set_wakeup_fd() returns, or set it again in each child.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import multiprocessing as mp, os, signal, socket, sys

def handle(number, frame):
    pass

signal.signal(signal.SIGUSR1, handle)
ours, theirs = socket.socketpair()
theirs.setblocking(False)
signal.set_wakeup_fd(theirs.fileno())

def child():
    print(" ", sys.argv[1], "handler:", signal.getsignal(signal.SIGUSR1) is handle,
          "wakeup:", signal.set_wakeup_fd(-1) == theirs.fileno(), flush=True)

if __name__ == "__main__":
    process = mp.get_context(sys.argv[1]).Process(target=child)
    process.start()
    process.join()
PYTHON
cat >stated <<'TEXT'
  fork handler: True wakeup: True
  forkserver handler: True wakeup: False
  spawn handler: True wakeup: True
TEXT

for python in python3.13 python3.14 python3.15; do
    command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
    for method in fork forkserver spawn; do "$python" main.py "$method"; done >seen
    diff -u stated seen
    echo "as stated on $("$python" -V)"
done

#!/usr/bin/env bash
# CPython 3.13.18 (forkserver), 3.14.10, 3.15.2 (default), Linux: where the fork server ends
# by a signal, join() of its children returns at once, with exit code 255 and is_alive()
# False, while they live and work on.
#
# Guess: a child is no concern of the server once it was started: join() waits for it, and
# its exit code is its own.
# Why: the exit code comes through a pipe that the server writes to; the end of the pipe is
# taken for the end of the child.  The server ignores SIGINT, but not SIGTERM or SIGHUP, also
# where the program itself handles these.
# So: a SIGTERM to all processes of a service or of a process group, as many supervisors send,
# makes the main process believe that its children are gone while they still clean up: what
# it removes next they may still be using.  Let children say that they are done (or hold a
# lock, or a pidfd) where it matters; or set the handler where the script is imported, which
# the server then has too.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import multiprocessing as mp, os, signal, sys

if sys.argv[1:]:
    signal.signal(signal.SIGTERM, lambda *_: None)

def child(asked, told):
    signal.signal(signal.SIGTERM, lambda *_: told.send("got SIGTERM"))
    told.send("begun")
    asked.recv()
    told.send("still here, done now")

if __name__ == "__main__":
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, lambda *_: None)
    context = mp.get_context("forkserver")
    asked, ask = context.Pipe(duplex=False)
    tell, told = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(asked, told))
    process.start()
    tell.recv()
    os.killpg(0, signal.SIGTERM)
    tell.recv()
    process.join(timeout=2)
    print("join(): exit code", process.exitcode, "alive", process.is_alive(), flush=True)
    ask.send(None)
    print("child:", tell.recv(), flush=True)
    process.join()
    print("exit code", process.exitcode, flush=True)
PYTHON
cat >stated <<'TEXT'
join(): exit code 255 alive False
child: still here, done now
exit code 255
with a handler in the server
join(): exit code None alive True
child: still here, done now
exit code 0
TEXT

for python in python3.13 python3.14 python3.15; do
    command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
    {
        "$python" main.py
        echo "with a handler in the server"
        "$python" main.py handler
    } >seen
    diff -u stated seen
    echo "as stated on $("$python" -V)"
done

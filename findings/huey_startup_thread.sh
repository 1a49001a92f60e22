#!/usr/bin/env bash
# huey 3.5.4 on CPython 3.12, Linux: a function of `@huey.on_startup()` is called on the main
# thread of a worker with `-k process` and `-k greenlet`.  With `-k thread`, the default, it is
# called on each worker's own thread, where no signal handler can be set.
#
# Guess: a hook for the start is called on the main thread, once for each process.
# Why: it is a hook of a worker, and the workers are threads.
# So: what has to be on the main thread (signal handlers, `lastout.handle_signals`) goes into the
# module of the tasks, which the consumer imports; on_startup is for what each worker needs.
set -euo pipefail

python=${PYTHON:-python3.12}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"
"$python" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check huey==3.5.4 gevent==26.9.0

cat >tasks.py <<'PYTHON'
import os, threading
from huey import SqliteHuey

huey = SqliteHuey(filename="jobs.db")

@huey.on_startup()
def begin():
    on_main = threading.current_thread() is threading.main_thread()
    with open("said", "a") as said:
        print(os.environ["KIND"], "on the main thread:", on_main, file=said)
PYTHON
for kind in thread process greenlet; do
    KIND=$kind env/bin/python -m huey.bin.huey_consumer tasks.huey -w 1 -k "$kind" 2>log &
    consumer=$!
    for _ in {1..300}; do grep -qs "^$kind " said && break; sleep 0.1; done
    kill "$consumer"
    wait "$consumer" || true
done
cat >stated <<'TEXT'
thread on the main thread: False
process on the main thread: True
greenlet on the main thread: True
TEXT

diff -u stated said
echo "as stated on $("$python" -V)"

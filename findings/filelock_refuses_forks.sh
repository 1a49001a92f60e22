#!/usr/bin/env bash
# filelock 4.3.1 on CPython 3.15.2, Linux (seen on 3.12.1 and 3.13.0 too, not on 3.11.7): once
# it is imported, os.fork() raises RuntimeError ("os.fork is unsafe while filelock is changing
# descriptor ownership") where another thread forks at the same moment, be there a lock or
# not.  Of 800 forks by four threads about half are refused; without filelock none.
#
# Guess: a library of locks may slow a fork down by its at-fork hooks; it does not refuse it.
# Why: from 3.12 it has an audit hook that refuses a fork while a thread is between the hooks
# before and after another fork, and audit hooks run first, so that nobody can wait for it.
# So: multiprocessing by fork from several threads (pools of pools, executors that replace
# workers) fails now and then, as soon as anything imports filelock.  Hold one lock of your
# own around all forks, or use another start method.
set -euo pipefail

python=${PYTHON:-python3.15}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"
"$python" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check filelock==4.3.1

cat >main.py <<'PYTHON'
import os, sys, threading

if sys.argv[1] == "filelock":
    import filelock

refused = []
begin = threading.Barrier(4)

def forks():
    begin.wait()
    for _ in range(200):
        try:
            pid = os.fork()
        except RuntimeError as error:
            refused.append(str(error))
        else:
            if not pid:
                os._exit(0)
            os.waitpid(pid, 0)

threads = [threading.Thread(target=forks) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(refused), "of 800 refused", file=sys.stderr)
print(sys.argv[1], "none" if not refused else "many" if len(refused) > 40 else "few", *set(refused))
PYTHON
cat >stated <<'TEXT'
nothing none
filelock many os.fork is unsafe while filelock is changing descriptor ownership
TEXT

for imported in nothing filelock; do
    env/bin/python -W ignore main.py "$imported"
done >seen
diff -u stated seen
echo "as stated on $("$python" -V)"

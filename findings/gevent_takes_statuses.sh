#!/usr/bin/env bash
# gevent 26.9.0 on CPython 3.13.18, Linux, nothing monkey-patched: once one program was started with
# gevent.subprocess, a program that another thread runs with the standard library's subprocess and
# that fails (status 7) is now and then reported with status 0.  Before that, never.
#
# Guess: gevent waits for the children that it started itself; those of other threads, which never
# use gevent, keep their statuses.
# Why: its SIGCHLD handler waits for just any child of the process, in the thread of the loop; and
# where subprocess finds that somebody else has waited for its child, it says 0.
# So: in a process with gevent.subprocess, or with monkey-patching, do not believe a status of 0 that
# another thread has got.  Have the program tell how it went in another way, such as a file or a pipe.
set -euo pipefail

python=${PYTHON:-python3.13}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"
"$python" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check gevent==26.9.0

cat >main.py <<'PYTHON'
import subprocess, threading
import gevent, gevent.subprocess

def run(statuses):
    for _ in range(200):
        statuses.append(subprocess.run(["/bin/sh", "-c", "exit 7"]).returncode)

def statuses_of_a_thread():
    statuses = []
    thread = threading.Thread(target=run, args=(statuses,))
    thread.start()
    while thread.is_alive():
        gevent.sleep(0.001)
    return sorted(set(statuses))

print("before:", statuses_of_a_thread())
gevent.subprocess.run(["/bin/true"])
print("after: ", statuses_of_a_thread())
PYTHON
cat >stated <<'TEXT'
before: [7]
after:  [0, 7]
TEXT

env/bin/python main.py >seen
diff -u stated seen
echo "as stated on $("$python" -V)"

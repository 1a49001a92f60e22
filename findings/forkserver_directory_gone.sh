#!/usr/bin/env bash
# CPython 3.13.18 (forkserver), 3.14.10, 3.15.2 (default), Linux: once the directory that was
# the one for temporary files at the first start is gone, each later Process.start() by
# forkserver raises FileNotFoundError without a name, though the server lives.
#
# Guess: it works, or a new server is started, as when a server was killed.
# Why: the server listens on a socket in a directory of its own (pymp-...) in there; only a
# server that ended is replaced.
# So: a test that points TMPDIR or tempfile.tempdir to a directory of its own and starts the
# first child breaks all tests after it; so does who clears the directory of a long run.
# Start a child (or multiprocessing.forkserver.ensure_running()) before.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import multiprocessing as mp, tempfile

def start():
    process = mp.get_context("forkserver").Process(target=int)
    try:
        process.start()
        process.join()
        print("exit code", process.exitcode, flush=True)
    except OSError as error:
        print(f"start(): {type(error).__name__}: {error}", flush=True)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as tempfile.tempdir:
        start()
    tempfile.tempdir = None
    start()
    start()
PYTHON
cat >stated <<'TEXT'
exit code 0
start(): FileNotFoundError: [Errno 2] No such file or directory
start(): FileNotFoundError: [Errno 2] No such file or directory
TEXT

for python in python3.13 python3.14 python3.15; do
    command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
    "$python" main.py 2>/dev/null >seen
    diff -u stated seen
    echo "as stated on $("$python" -V)"
done

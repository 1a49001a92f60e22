#!/usr/bin/env bash
# CPython 3.13.18 (forkserver), 3.14.10, 3.15.2 (default), Linux: after a process has started
# its first child by forkserver, a child that it makes by os.fork() can start none by that
# method: ChildProcessError: [Errno 10] No child processes, of Process and of pools.
#
# Guess: it works; the forked process shares the server or starts one of its own.
# Why: before each start the server is asked by waitpid() whether it still runs, and it is
# no child of the forked process.  In a child by multiprocessing's own fork method it is the
# same, but the default method there is fork.
# So: servers that load the application and then fork workers (pre-fork, daemons that detach)
# break on 3.14 where the loading uses a pool once.  In the forked process use fork or spawn.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import multiprocessing as mp, os
from concurrent.futures import ProcessPoolExecutor

def attempt(what, function):
    try:
        function()
        print(" ", what, "works", flush=True)
    except Exception as error:
        print(" ", what, f"{type(error).__name__}: {error}", flush=True)

def process(context):
    process = context.Process(target=int)
    process.start()
    process.join()

def pool(context):
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        executor.submit(int).result()

def all_methods():
    for method in mp.get_start_method(), "forkserver", "spawn":
        context = mp.get_context(method)
        attempt(f"process by {method}:", lambda: process(context))
        attempt(f"pool by {method}:", lambda: pool(context))

if __name__ == "__main__":
    mp.set_start_method("forkserver")
    process(mp)
    print("in a child by os.fork()", flush=True)
    pid = os.fork()
    if not pid:
        all_methods()
        os._exit(0)
    os.waitpid(pid, 0)
    print("in a child by multiprocessing's fork", flush=True)
    child = mp.get_context("fork").Process(target=all_methods)
    child.start()
    child.join()
PYTHON
cat >stated <<'TEXT'
in a child by os.fork()
  process by forkserver: ChildProcessError: [Errno 10] No child processes
  pool by forkserver: ChildProcessError: [Errno 10] No child processes
  process by forkserver: ChildProcessError: [Errno 10] No child processes
  pool by forkserver: ChildProcessError: [Errno 10] No child processes
  process by spawn: works
  pool by spawn: works
in a child by multiprocessing's fork
  process by fork: works
  pool by fork: works
  process by forkserver: ChildProcessError: [Errno 10] No child processes
  pool by forkserver: ChildProcessError: [Errno 10] No child processes
  process by spawn: works
  pool by spawn: works
TEXT

for python in python3.13 python3.14 python3.15; do
    command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
    "$python" main.py >seen
    diff -u stated seen
    echo "as stated on $("$python" -V)"
done

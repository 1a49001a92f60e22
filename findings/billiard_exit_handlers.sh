#!/usr/bin/env bash
# billiard 4.3.2 on CPython 3.15.2, Linux: a Process of it runs its atexit handlers by spawn
# only; by fork (its default) and forkserver it does not.  One of multiprocessing runs them by
# all three from 3.13 on.
#
# Guess: billiard is multiprocessing with additions, so on 3.13 and later it runs them by all
# three, too; or, being older code, by none.
# Why: children by fork and forkserver end by os._exit() as multiprocessing's did before 3.13;
# one by spawn is a Python of its own that ends as any other.
# So: atexit handlers of a pool's workers (Celery's default pool is billiard's) are dead code;
# there is a signal of Celery for that, or billiard.util.Finalize.
set -euo pipefail

python=${PYTHON:-python3.15}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"
"$python" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check billiard==4.3.2

cat >main.py <<'PYTHON'
import atexit, billiard, billiard.util, multiprocessing, multiprocessing.util, sys

def child(package):
    atexit.register(print, "   atexit", flush=True)
    finalize = sys.modules[package].util.Finalize
    finalize(None, print, ("   Finalize",), {"flush": True}, exitpriority=1)

if __name__ == "__main__":
    for package in multiprocessing, billiard:
        print(package.__name__, package.get_start_method(), flush=True)
        for method in "fork", "forkserver", "spawn":
            print(" ", method, flush=True)
            process = package.get_context(method).Process(target=child, args=(package.__name__,))
            process.start()
            process.join()
PYTHON
cat >stated <<'TEXT'
multiprocessing forkserver
  fork
   atexit
   Finalize
  forkserver
   atexit
   Finalize
  spawn
   atexit
   Finalize
billiard fork
  fork
   Finalize
  forkserver
   Finalize
  spawn
   Finalize
   atexit
TEXT

env/bin/python main.py >seen
diff -u stated seen
echo "as stated on $("$python" -V)"

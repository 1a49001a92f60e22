#!/usr/bin/env bash
# CPython 3.15.2, Linux: with all imports lazy (-X lazy_imports=all, PEP 810), a module that the
# main script imports at its top is loaded by each child that uses it, by forkserver and by
# fork; without the option it is loaded before, once for all of them.
#
# Guess: lazy imports make the start faster and cost nothing afterwards; a fork server, which
# imports the main script in order to have its modules loaded, is as good as ever.
# Why: to import the script makes stand-ins only; the first use is in the child, after the fork,
# and what is loaded there is lost with it.
# So: a pool that replaces its workers pays for its imports again and again, and children share
# less memory.  Name the modules that workers need in set_forkserver_preload(), or use them once
# before the first fork.
set -euo pipefail

python=${PYTHON:-python3.15}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >heavy.py <<'PYTHON'
import multiprocessing as mp

print("  loaded in", mp.current_process().name, flush=True)

def use():
    pass
PYTHON
cat >main.py <<'PYTHON'
import multiprocessing as mp, sys
import heavy

def child():
    heavy.use()

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    if sys.argv[2:]:
        mp.set_forkserver_preload(["__main__", "heavy"])
    for number in 1, 2:
        process = context.Process(target=child, name=f"child {number}")
        process.start()
        process.join()
PYTHON
cat >stated <<'TEXT'
fork normal
  loaded in MainProcess
fork all
  loaded in child 1
  loaded in child 2
forkserver normal
  loaded in MainProcess
  loaded in MainProcess
forkserver all
  loaded in child 1
  loaded in child 2
preloaded
  loaded in MainProcess
TEXT

{
    for method in fork forkserver; do
        for lazy in normal all; do
            echo "$method $lazy"
            "$python" -X lazy_imports="$lazy" main.py "$method"
        done
    done
    echo preloaded
    "$python" -X lazy_imports=all main.py forkserver preload
} >seen
diff -u stated seen
echo "as stated on $("$python" -V)"

#!/usr/bin/env bash
# CPython 3.13.18, 3.14.10, 3.15.2, Linux: whether the finalizer of a TemporaryDirectory (or
# any weakref.finalize), and logging's flush at exit, run in a child by fork or forkserver
# depends on whether the main script had used the same before.  If it had, the child leaves
# its directory behind and loses what its log buffered; if not, both work, as under spawn.
#
# Guess: from 3.13, children by multiprocessing run their exit handlers at their end, so both
# work; before, none did.  What the parent did is without effect on either.
# Why: weakref and logging register their atexit handler once: at the first finalizer, on
# import.  A child inherits "done already", and clears atexit when it begins.
# So: on 3.14, where the fork server imports the main script, an `import logging` at its top
# is enough.  Use `with`, flush in the child's function, or register an exit handler there.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"
export TMPDIR=$work

cat >main.py <<'PYTHON'
import multiprocessing as mp, os, sys, tempfile

if sys.argv[2] == "used":
    import logging.handlers
    early = tempfile.TemporaryDirectory()

def child(tell):
    global late
    import logging.handlers
    late = tempfile.TemporaryDirectory()
    output = logging.StreamHandler(sys.stdout)
    logging.getLogger().addHandler(logging.handlers.MemoryHandler(100, target=output))
    logging.warning("   the record of the child")
    tell.send(late.name)

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
    told, tell = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(tell,))
    process.start()
    path = told.recv()
    process.join()
    print("   directory", "left" if os.path.exists(path) else "gone", flush=True)
PYTHON
cat >stated <<'TEXT'
fork unused
   the record of the child
   directory gone
fork used
   directory left
forkserver unused
   the record of the child
   directory gone
forkserver used
   directory left
spawn unused
   the record of the child
   directory gone
spawn used
   the record of the child
   directory gone
TEXT

for python in python3.13 python3.14 python3.15; do
    command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
    for method in fork forkserver spawn; do
        for before in unused used; do
            echo "$method $before"
            "$python" main.py "$method" "$before"
        done
    done >seen
    diff -u stated seen
    echo "as stated on $("$python" -V)"
done

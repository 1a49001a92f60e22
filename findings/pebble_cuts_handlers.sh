#!/usr/bin/env bash
# pebble 5.2.3 on CPython 3.15.2, Linux: after close() and join() of a ProcessPool an exit
# handler of its workers (atexit) that takes two seconds never comes to its end, by any start
# method; in most cases it begins.  join() of multiprocessing.Pool and shutdown() of
# ProcessPoolExecutor wait for theirs.
#
# Guess: from 3.13 on, where children by multiprocessing run atexit handlers, those of pebble
# do so as well when the pool is closed in peace.
# Why: as soon as the tasks are done it sends each worker SIGTERM, and that ends the process by
# os._exit(), whatever it is doing; a worker that saw the end of its pipe first is in its
# handlers by then.
# So: do not rest a worker's clean-up on atexit there; of quick ones 3 to 8 in 10 ran, by chance,
# and of multiprocessing.util.Finalize 9 or 10.
set -euo pipefail

python=${PYTHON:-python3.15}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"
"$python" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check Pebble==5.2.3

cat >main.py <<'PYTHON'
import atexit, multiprocessing as mp, os, pathlib, pebble, time
from concurrent.futures import ProcessPoolExecutor

def handler(directory):
    time.sleep(2)
    pathlib.Path(directory, f"{os.getpid()} done").touch()

def begin(directory):
    atexit.register(handler, directory)

def of_pebble(options, context):
    pool = pebble.ProcessPool(1, context=context, **options)
    pool.schedule(int).result()
    pool.close()
    pool.join()

def of_multiprocessing(options, context):
    pool = context.Pool(1, **options)
    pool.apply(int)
    pool.close()
    pool.join()

def of_futures(options, context):
    with ProcessPoolExecutor(1, mp_context=context, **options) as pool:
        pool.submit(int).result()

if __name__ == "__main__":
    for method in "fork", "forkserver", "spawn":
        for use in of_pebble, of_multiprocessing, of_futures:
            directory = f"{method} {use.__name__}"
            os.mkdir(directory)
            use({"initializer": begin, "initargs": (directory,)}, mp.get_context(method))
            print(directory, len(os.listdir(directory)), flush=True)
PYTHON
for method in fork forkserver spawn; do
    printf '%s\n' "$method of_pebble 0" "$method of_multiprocessing 1" "$method of_futures 1"
done >stated

env/bin/python main.py >seen
diff -u stated seen
echo "as stated on $("$python" -V)"

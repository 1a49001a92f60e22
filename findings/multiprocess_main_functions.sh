#!/usr/bin/env bash
# multiprocess 0.70.19 with dill 0.4.1 on CPython 3.15.2, Linux: a function of the main script
# reaches a Process by fork only; to a pool it does not come by fork either: AttributeError:
# 'code' object has no attribute 'co_lnotab'.  Functions of modules come everywhere.  And its
# default start method is fork, while multiprocessing's is forkserver since 3.14.
#
# Guess: fork works with all of it, as a forked worker has the function already and only needs
# its name; what fails is spawn and forkserver.
# Why: dill pickles a function of the main script by value, code object and all, in tasks of
# pools by fork too, and asks the code for co_lnotab, which 3.15 has removed.
# So: move what workers run to a module, also under fork.
set -euo pipefail

python=${PYTHON:-python3.15}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"
"$python" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check multiprocess==0.70.19 dill==0.4.1

cat >functions.py <<'PYTHON'
def of_module():
    return "works"
PYTHON
cat >main.py <<'PYTHON'
import functions, multiprocess as mp, multiprocessing

def of_main():
    return "works"

def in_process(context, function):
    process = context.Process(target=function)
    process.start()
    process.join()
    return "works" if process.exitcode == 0 else f"exit code {process.exitcode}"

def in_pool(context, function):
    with context.Pool(1) as pool:
        return pool.apply(function)

if __name__ == "__main__":
    print("default:", mp.get_start_method(), "and", multiprocessing.get_start_method())
    for method in "fork", "forkserver", "spawn":
        for function in of_main, functions.of_module:
            for attempt in in_process, in_pool:
                try:
                    seen = attempt(mp.get_context(method), function)
                except AttributeError as error:
                    seen = str(error)
                print(method, function.__name__, attempt.__name__, seen, flush=True)
PYTHON
lost="'code' object has no attribute 'co_lnotab'"
cat >stated <<TEXT
default: fork and forkserver
fork of_main in_process works
fork of_main in_pool $lost
fork of_module in_process works
fork of_module in_pool works
forkserver of_main in_process $lost
forkserver of_main in_pool $lost
forkserver of_module in_process works
forkserver of_module in_pool works
spawn of_main in_process $lost
spawn of_main in_pool $lost
spawn of_module in_process works
spawn of_module in_pool works
TEXT

env/bin/python main.py >seen
diff -u stated seen
echo "as stated on $("$python" -V)"

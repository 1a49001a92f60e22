#!/usr/bin/env bash
# loky 3.7.0 on CPython 3.15.2, -X lazy_imports=all, Linux: a ProcessPoolExecutor of it cannot be
# used: AttributeError: module 'multiprocessing' has no attribute 'util'.  That of
# concurrent.futures and multiprocessing.Pool work.
#
# Guess: what works without the option works with it, a little later: a pure Python package uses
# the modules that it imports.
# Why: it uses multiprocessing.util by the package's name, which is there only because some other
# module, imported before, had imported it; now that import has not happened yet.
# So: a package that leans on an import made by another module breaks, at run time, and in one
# order of imports only.  Where multiprocessing.util was loaded before, loky loses its workers in
# a later place ("Bad file descriptor"): use the standard library's pools with this option.
set -euo pipefail

python=${PYTHON:-python3.15}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"
"$python" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check loky==3.7.0 cloudpickle==3.1.3

cat >main.py <<'PYTHON'
import concurrent.futures, loky, multiprocessing

def attempt(name, function):
    try:
        print(name, function(), flush=True)
    except Exception as error:
        print(name, f"{type(error).__name__}: {error}", flush=True)

def by_executor(kind):
    with kind(1) as executor:
        return executor.submit(abs, -1).result(timeout=60)

def by_pool():
    with multiprocessing.Pool(1) as pool:
        return pool.apply(abs, (-1,))

if __name__ == "__main__":
    attempt("loky", lambda: by_executor(loky.ProcessPoolExecutor))
    attempt("concurrent.futures", lambda: by_executor(concurrent.futures.ProcessPoolExecutor))
    attempt("multiprocessing", by_pool)
PYTHON
cat >stated <<'TEXT'
normal
loky 1
concurrent.futures 1
multiprocessing 1
all
loky AttributeError: module 'multiprocessing' has no attribute 'util'
concurrent.futures 1
multiprocessing 1
TEXT

for lazy in normal all; do
    echo "$lazy"
    env/bin/python -X lazy_imports="$lazy" main.py
done >seen
diff -u stated seen
echo "as stated on $("$python" -V)"

#!/usr/bin/env bash
# CPython 3.15.2, Linux: multiprocessing.set_forkserver_preload(..., on_error="warn") (new in
# 3.15) says nothing where a preload fails, be it a module that is not there.
#
# Guess: a line on standard error that names the module.
# Why: it is an ImportWarning, which Python's default filters hide; and the fork server has
# filters of its own: -W and PYTHONWARNINGS reach it, warnings.simplefilter() in main does not.
# So: who preloads a module so that its exit handlers are there, or to save time, hears of
# its absence only with `-W default::ImportWarning` or on_error="fail".
set -euo pipefail

python=${PYTHON:-python3.15}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import multiprocessing as mp, warnings

if __name__ == "__main__":
    warnings.simplefilter("always")
    mp.set_forkserver_preload(["there_is_none"], on_error="warn")
    process = mp.get_context("forkserver").Process(target=int)
    process.start()
    process.join()
    print("exit code", process.exitcode, flush=True)
PYTHON
cat >stated <<'TEXT'
exit code 0
-W default::ImportWarning
ImportWarning: Failed to preload module 'there_is_none': No module named 'there_is_none'
exit code 0
TEXT

{
    "$python" main.py 2>&1
    echo "-W default::ImportWarning"
    "$python" -W default::ImportWarning main.py 2>&1 |
        sed -n 's/.*\(ImportWarning: .*\)/\1/p; /^exit/p'
} >seen
diff -u stated seen
echo "as stated on $("$python" -V)"

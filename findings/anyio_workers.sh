#!/usr/bin/env bash
# anyio 4.16.0 on CPython 3.15.2, Linux: an exit handler that is registered in a worker process of
# anyio.to_process.run_sync() does not run when the event loop ends.  In one of trio-parallel
# 1.3.0, which does the same for trio, it does.
#
# Guess: idle workers of both are asked to end, or see the end of their pipe, and end as any
# Python program does, with their exit handlers.
# Why: anyio kills its workers; trio-parallel closes their pipe and waits for them.
# So: with anyio, let each call clean up what it made; nothing that is kept from call to call in
# such a worker (temporary files, connections, buffers) has an end of its own.
set -euo pipefail

python=${PYTHON:-python3.15}
command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"
"$python" -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check \
    anyio==4.16.0 trio==0.35.0 trio-parallel==1.3.0

cat >jobs.py <<'PYTHON'
import atexit, pathlib

def job(name):
    atexit.register(pathlib.Path(name).touch)
    return "works"
PYTHON
cat >main.py <<'PYTHON'
import anyio, anyio.to_process, os, trio, trio_parallel
from jobs import job

async def by_anyio():
    return await anyio.to_process.run_sync(job, "anyio")

async def by_trio():
    async with trio_parallel.open_worker_context() as context:
        return await context.run_sync(job, "trio_parallel")

if __name__ == "__main__":
    for name, library, function in ("anyio", anyio, by_anyio), ("trio_parallel", trio, by_trio):
        print(name, library.run(function), "handler ran:", os.path.exists(name), flush=True)
PYTHON
cat >stated <<'TEXT'
anyio works handler ran: False
trio_parallel works handler ran: True
TEXT

env/bin/python main.py >seen
diff -u stated seen
echo "as stated on $("$python" -V)"

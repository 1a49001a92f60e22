#!/usr/bin/env bash
# CPython 3.14.10, 3.15.2, Linux: the processor time of children by forkserver (the default)
# is in nobody's account: not in resource.getrusage(RUSAGE_CHILDREN), not in os.times(), not
# in what the shell's `time` says of the program.  That of fork and spawn is in all of them.
#
# Guess: the time of a child that was joined is counted, as always.
# Why: the kernel adds a child's time to the process that waits for it.  That is the fork
# server; and nobody waits for the fork server, which ends after the main process.
# So: benchmarks, job accounting, limits and "CPU seconds used" in the log of an exit handler
# fall to next to nothing from 3.13 to 3.14.  Peak memory of children (ru_maxrss) is gone too.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cd -- "$work"

cat >main.py <<'PYTHON'
import multiprocessing as mp, os, resource, sys, time

def child():
    block = bytearray(100_000_000)
    while time.process_time() < 1:
        sum(range(1000))

if __name__ == "__main__":
    process = mp.get_context(sys.argv[1]).Process(target=child)
    process.start()
    process.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    times = os.times()
    print("", sys.argv[1], "getrusage:", used.ru_utime + used.ru_stime > 0.9,
          "times:", times.children_user + times.children_system > 0.9,
          "memory:", used.ru_maxrss > 100_000, flush=True)
PYTHON
cat >stated <<'TEXT'
 fork getrusage: True times: True memory: True
 time: True
 forkserver getrusage: False times: False memory: False
 time: False
 spawn getrusage: True times: True memory: True
 time: True
TEXT

TIMEFORMAT='%U %S'
for python in python3.14 python3.15; do
    command -v "$python" >/dev/null || { echo "needs $python" >&2; exit 77; }
    for method in fork forkserver spawn; do
        { time "$python" main.py "$method"; } 2>spent
        awk '{ print " time:", ($1 + $2 > 0.9 ? "True" : "False") }' spent
    done >seen
    diff -u stated seen
    echo "as stated on $("$python" -V)"
done

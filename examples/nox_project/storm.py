"""A stress test: workers that write files beside a server each, until they are stopped.

What they make is recorded in a scope of a fixed name.  On Ctrl-C, which reaches
them all, each has 0.2 s for its own end; what is not done when nox kills, the
last one out does, or else the next run when it begins.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
from functools import partial

import lastout
from lastout.integrations.pools import worker

SERVER = [sys.executable, "-c", "import time; time.sleep(600)"]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def storm(number: int, seconds: float) -> None:
    """One worker: a directory and a server of its own, and files that come and go."""
    scope = lastout.current_scope()
    place = scope.directory(lifetime="member")
    scope.popen(SERVER, lifetime="member", cwd=place, grace=0.1)
    print(f"worker {number} is at work", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        path = place / "file"
        path.write_bytes(os.urandom(4096))
        path.unlink()


def write_counters(seconds: float) -> None:
    """What a worker does at its end, in as much time as it takes."""
    time.sleep(seconds)


def run(options: argparse.Namespace) -> None:
    """Start the workers, and wait until they have stormed enough."""
    with lastout.Scope("storm") as scope:
        print(f"cleaned after the last run: {len(scope.report)}", flush=True)
        end = partial(write_counters, options.slow_end)
        begin = worker(scope, finalizer=end, timeout=0.2, signals=SIGNALS)
        # Not by a fork server, as from Python 3.14: a directory of its own stays when it is killed.
        with multiprocessing.get_context("fork").Pool(options.workers, begin) as pool:
            jobs = [(number, options.seconds) for number in range(options.workers)]
            pool.starmap(storm, jobs, chunksize=1)
        pool.join()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--slow-end", type=float, default=0.0, help="seconds a worker's end takes")
    try:
        run(parser.parse_args())
    except KeyboardInterrupt:
        sys.exit("stopped")


if __name__ == "__main__":
    main()

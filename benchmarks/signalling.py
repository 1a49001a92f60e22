"""Signalling: from a SIGTERM to the first exit handler, while the main thread sits in a C call.

Beside a handler of `signal.signal`, whose main thread sleeps, so that the signal wakes it:
in the C call that ours sits in, which no signal ends, that one would never run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from .measure import Line, medians

if TYPE_CHECKING:
    from collections.abc import Iterator

BUDGET = 2e-3  # seconds

HANDLER = """
import os, signal, time
def handler(*_):
    now = time.monotonic()  # by the clock that all processes share
    os.write(1, b"%.9f" % now)
    os._exit(0)
"""
OURS = """
import ctypes, lastout
lastout.register(handler)
lastout.handle_signals()
lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(64)
lock(mutex)
os.write(1, b"r")
lock(mutex)
"""
ITS = """
signal.signal(signal.SIGTERM, handler)
os.write(1, b"r")
time.sleep(60)
"""


def lines(quick: bool) -> Iterator[Line]:
    """The seconds until the handler runs."""
    cases = {"ours": partial(seconds, OURS), "its": partial(seconds, ITS)}
    took = medians(cases, 3 if quick else 60)
    what = "SIGTERM to the first handler, main in C"
    yield Line(what, took["ours"], "signal.signal, main asleep", took["its"], most=BUDGET)


def seconds(code: str) -> float:
    """Seconds from the signal to the first line of the handler, in a program of its own."""
    command = [sys.executable, "-c", HANDLER + code]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        if os.read(program.stdout.fileno(), 1) != b"r":
            raise RuntimeError("the program did not come up")
        time.sleep(0.05)  # it waits now
        sent = time.monotonic()
        os.kill(program.pid, signal.SIGTERM)
        return float(program.stdout.read()) - sent

"""Copied beside each test program: `say` tells the test what happened.

One `O_APPEND` write for each line, so that lines of many processes stay whole;
then a byte into a named pipe, so that the test wakes at once.  The file is
opened each time: a forked, spawned or half-closed process can still say it.
"""

from __future__ import annotations

import os


def say(*words: object) -> None:
    """Write one line of `words` to the log that all processes of the program share."""
    path = os.environ["SAY_TO"]
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(log, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(log)
    try:
        bell = os.open(path + ".bell", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return  # the test is over: nobody listens, and the line is written
    try:
        os.write(bell, b".")
    except BlockingIOError:
        return  # full: it is ringing already
    finally:
        os.close(bell)

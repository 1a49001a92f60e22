"""What scripts of several tests begin with, and the children that they start."""

from __future__ import annotations

import pytest

PACKAGES = ("multiprocessing", "multiprocess")
METHODS = ("fork", "forkserver", "spawn")

each_package = pytest.mark.parametrize("package", PACKAGES)
each_method = pytest.mark.parametrize("method", METHODS)
carried = pytest.mark.parametrize("method", METHODS[1:])

# Starts a child of a package and method that are given as arguments.
WORK = """
    import importlib, os, sys
    import lastout
    from say import say

    def work():
        say("worked")

    def start(target=work):
        package, method = sys.argv[1:]
        child = importlib.import_module(package).get_context(method).Process(target=target)
        child.start()
        child.join()
        say("status", child.exitcode)
"""

# Waits for a signal, and says when it is ready for one.
WAITING = """
    import asyncio, os, signal, sys, threading, time
    import lastout
    from say import say

    def wait():
        say("ready")
        while True:
            time.sleep(60)
"""

# The same, for processes of several kinds: each says its pid too.
FAMILY = """
    import importlib, os, signal, sys, threading, time, warnings
    import lastout
    from say import say

    warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads, on 3.12 and later

    def mine(word):
        say(word, os.getpid())

    def wait():
        say("ready", os.getpid())
        while True:
            time.sleep(60)

    def status_of(pid):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

# A program that a signal ends already, and that is out of patience at once.  It says "ready", and
# "unwinds" as soon as others can see that; its exit handler is done after SIGCONT, which comes
# with every SIGTERM, and notes in the file "done" whether that came.
UNWINDS = """
import os, signal, threading, time
import lastout
from lastout._exits import signal_end
from lastout._platform import pids

signal_end.IMPATIENT_AFTER = 0.0
asked = threading.Event()
signal.signal(signal.SIGCONT, lambda *_: asked.set())

def late():
    while not pids.unwinds(os.getpid()):
        time.sleep(0.01)
    print("unwinds", flush=True)
    with open("done", "w") as done:
        done.write(str(asked.wait(30)))

lastout.register(late)
lastout.handle_signals()
print("ready", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
threading.Event().wait()
"""

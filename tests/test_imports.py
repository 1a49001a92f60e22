"""Importing on first use: no fork comes in the middle of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.program import Program

# What one thread loads, and what it calls for that; the child calls it too.
FIRST_USES = {
    "a scope": ("lastout._scopes.scope", "lastout.Scope"),
    "an inherited handler": ("lastout._exits.carrier", "lastout.handler(inherit=True)(print)"),
    "a callback": ("lastout._scopes.kinds.command", "lastout.current_scope().callback(len, ())"),
    "a closure": ("dill.detect", "lastout.current_scope().callback(lambda: os.getpid())"),
    "shared memory": ("_posixshmem", "lastout.current_scope().shared_memory(10)"),
    "a process": ("lastout._scopes.kinds.popen", "lastout.current_scope().popen(['true']).wait()"),
}

FORKS = """
    import faulthandler, os, sys, threading
    import lastout
    from say import say

    class Slow:
        def find_spec(self, name, *_):
            if name == {module!r} and not importing.is_set():
                importing.set()
                go_on.wait(30)
                forked.wait(0.5)  # it is not, while that waits for us

    def use():
        {call}
        say("used")

    importing, go_on, forked = threading.Event(), threading.Event(), threading.Event()
    if "current_scope" in {call!r}:
        scope = lastout.Scope()
    sys.modules.pop({module!r}, None)
    sys.meta_path.insert(0, Slow())
    thread = threading.Thread(target=use)
    thread.start()
    assert importing.wait(30)
    os.register_at_fork(before=go_on.set)  # what is set last comes first
    pid = os.fork()
    if not pid:
        faulthandler.dump_traceback_later(20, exit=True)
        use()
        os._exit(0)
    forked.set()
    thread.join()
    say("status", os.waitpid(pid, 0)[1])
"""


@pytest.mark.parametrize("first_use", FIRST_USES)
def test_a_fork_waits_for_an_import(program: Callable[..., Program], first_use: str) -> None:
    """What one thread loads while another forks, the child can use."""
    module, call = FIRST_USES[first_use]
    child = program(FORKS.format(module=module, call=call), env={"PYTHONWARNINGS": "ignore"})
    ended = child.end(60)
    assert (ended.status, sorted(child.lines)) == (0, ["status 0", "used", "used"]), ended.err


def test_a_module_that_logs(program: Callable[..., Program], tmp_path: Path) -> None:
    """`logging` has a lock of its own for forks, and an import takes it: neither waits for both."""
    (tmp_path / "logs.py").write_text(
        "import logging\n"
        "from __main__ import forked, go_on, importing\n"
        "importing.set(), go_on.wait(30), forked.wait(0.5)\n"
        "logging.getLogger('logs')\n"
    )
    child = program(
        """
        import faulthandler, os, sys, threading
        from lastout._platform.imports import load
        from say import say

        importing, go_on, forked = threading.Event(), threading.Event(), threading.Event()
        thread = threading.Thread(target=load, args=("logs", True))
        thread.start()
        assert importing.wait(30)
        os.register_at_fork(before=go_on.set)
        pid = os.fork()
        if not pid:
            faulthandler.dump_traceback_later(20, exit=True)
            say(load("logs").__name__)
            os._exit(0)
        forked.set()
        thread.join()
        say("status", os.waitpid(pid, 0)[1])
        """,
        env={"PYTHONWARNINGS": "ignore", "PYTHONPATH": str(tmp_path)},
    )
    assert child.end(60) == (0, "", "")
    assert child.lines == ["logs", "status 0"]

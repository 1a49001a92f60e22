"""The process half where there is no POSIX: as far as that can be seen on one that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

# What Windows has not got, taken away before lastout is imported.
WITHOUT_POSIX = """
import os, signal, sys

for name in ("fork", "register_at_fork", "getuid", "geteuid", "fchmod", "pidfd_open"):
    delattr(os, name)
for name in ("pthread_sigmask", "SIGHUP", "pthread_kill", "sigwait"):
    delattr(signal, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios", "_posixshmem"):
    sys.modules[name] = None  # importing it fails

import lastout
"""


def test_exit_handlers_need_no_posix(program: Callable[..., Program]) -> None:
    """Handlers, also with a time limit and inheritable ones, run on a system without fork."""
    child = program(f"""{WITHOUT_POSIX}
lastout.register(print, "at exit")
lastout.handler(timeout=60.0, inherit=True, args=("with a limit",))(print)
lastout.register(len, "removed")
lastout.unregister(len)
print(lastout._ncallbacks())
""")
    assert child.end() == (0, "2\nwith a limit\nat exit\n", "")


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ("lastout.handle_signals(signal.SIGTERM)", "UsageError: handle_signals needs a POSIX"),
        ("lastout.Scope", "ImportError: scopes need a POSIX system"),
    ],
)
def test_the_rest_says_so(program: Callable[..., Program], asked: str, error: str) -> None:
    """What needs POSIX fails with an error that says so, before anything is done."""
    ended = program(f"{WITHOUT_POSIX}\n{asked}").end()
    assert ended.status == 1
    assert error in ended.err.splitlines()[-1]

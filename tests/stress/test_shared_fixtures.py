"""Shared fixtures where waiting takes as long as pytest-xdist waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.suites import Suite

if TYPE_CHECKING:
    from pathlib import Path


def test_a_worker_that_does_not_end(tmp_path: Path) -> None:
    """After Ctrl-C a worker that ignores it keeps nobody from tearing down."""
    suite = Suite(
        tmp_path / "suite",
        {
            "conftest": """
                import time
                from lastout.pytest_plugin import shared_fixture
                from say import say

                @shared_fixture
                def value():
                    say("up")
                    yield
                    time.sleep(4)  # xdist leaves ten seconds for everything
                    say("down")
            """,
            "test_it": """
                import os, time
                from say import say

                def test_ignores_it(request):
                    while "sleeps" not in open(os.environ["SAY_TO"]).read():
                        time.sleep(0.01)
                    request.getfixturevalue("value")
                    while True:
                        try:
                            say("deaf")
                            time.sleep(600)
                        except KeyboardInterrupt:
                            continue

                def test_sleeps(value):
                    say("sleeps")
                    time.sleep(600)
            """,
        },
    )
    program = suite.start("-n2")
    try:
        program.wait_for("deaf")
        program.interrupt()
        assert program.end().status == 2
        assert program.lines.count("down") == 1
    finally:
        suite.close()

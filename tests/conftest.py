"""Fixtures for all tests: programs in processes of their own, and a check for leaks."""

from __future__ import annotations

import os
import signal
import uuid
from functools import partial
from typing import TYPE_CHECKING

import pytest

from support import Program, apart, known, quick
from support.leaks import KINDS, MARK, Leaks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def pytest_addoption(parser: pytest.Parser) -> None:
    """The whole of the tests, where the quick run is not enough."""
    parser.addoption("--all", action="store_true", help="also what takes long: `nox -s tests`")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Use all processors."""
    quick.spread(config)


def pytest_report_header(config: pytest.Config) -> str:
    """Whether these are all tests."""
    return "all tests" if config.getoption("--all") else "a quick run: --all takes the rest too"


def pytest_configure(config: pytest.Config) -> None:
    """Declare our marks, and see to it that signals reach the programs that tests start."""
    apart.have_own_shared_memory()
    # A shell ignores SIGINT and SIGQUIT for what it runs in the background, and nohup
    # SIGHUP; what is ignored stays so in all children.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for signum in (signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, signal.SIG_DFL)
    config.addinivalue_line("markers", quick.MARK)
    kinds = ", ".join(KINDS)
    config.addinivalue_line(
        "markers", f"leaks(*kinds, reason): the test has to leave something; kinds: {kinds}"
    )
    config.addinivalue_line(
        "markers", "unmeasured(reason): the test cannot be run while coverage is measured"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what coverage itself would make fail."""
    mark = item.get_closest_marker("unmeasured")
    if mark is not None and "COVERAGE_PROCESS_START" in os.environ:
        pytest.skip(f"coverage is measured: {mark.kwargs['reason']}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose what is run, and expect what this Python is known to fail."""
    quick.choose(config, items)
    known.expect(items)


@pytest.fixture(autouse=True)
def nothing_left(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Fail a test that leaves a process, thread, descriptor, scope or shared memory.

    Scopes of the test lie in a root of its own, never in the user's.
    """
    token = uuid.uuid4().hex
    monkeypatch.setenv(MARK, token)
    monkeypatch.setenv("LASTOUT_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("LASTOUT_SCOPE", raising=False)
    leaks = Leaks(tmp_path / "root", token)
    me = os.getpid()
    yield
    assert os.getpid() == me, "a forked child came out of its test: end it with os._exit"
    left = leaks.found(_allowed(request.node))
    assert not left, "left behind:\n  " + "\n  ".join(left)


def _allowed(node: pytest.Item) -> frozenset[str]:
    allowed: set[str] = set()
    for mark in node.iter_markers("leaks"):
        assert mark.kwargs.get("reason"), "the mark `leaks` needs a reason"
        assert set(mark.args) <= set(KINDS), f"the mark `leaks` knows {KINDS}, not {mark.args}"
        allowed.update(mark.args)
    return frozenset(allowed)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start scripts in processes of their own; see `support`."""
    started: list[Program] = []

    def start(text: str, **options: object) -> Program:
        make = partial(Program, text, tmp_path / f"program{len(started)}")
        started.append(make(**options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for child in started:
        child.close()

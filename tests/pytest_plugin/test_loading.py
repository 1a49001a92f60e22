"""Loading the plugin: next to nothing for those who do not use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.suites import Suite

UNUSED = """
    import os, sys

    def test_it():
        loaded = [name for name in sys.modules if name.startswith("lastout.")]
        shared = [name for name in loaded if "_scopes" in name]
        assert "lastout.pytest_plugin" in loaded
        assert shared == []
        assert not {"filelock", "dill", "multiprocess"} & set(sys.modules)

    def test_nothing_on_disk():
        assert not os.path.exists(os.environ["LASTOUT_ROOT"])
"""


@pytest.mark.parametrize("options", [[], ["-n1"]])
def test_a_run_that_does_not_use_the_plugin_loads_nothing(
    suite: Callable[..., Suite], options: list[str]
) -> None:
    """A run that uses nothing of it loads no shared half, in no process, and writes nothing."""
    ran = suite(
        conftest="""
            import sys

            def pytest_unconfigure(config):
                assert not any("_scopes" in name for name in sys.modules)
        """,
        test_it=UNUSED,
    ).run(*options)
    assert ran.counts == {"passed": 2}, ran.out
    assert ran.status == 0


def test_named_twice(suite: Callable[..., Suite]) -> None:
    """It can be named by `-p` and by a conftest, and be installed besides."""
    ran = suite(
        conftest='pytest_plugins = ["lastout.pytest_plugin"]',
        test_it="def test_it(lastout_scope, exit_registry): pass",
    ).run(PYTEST_DISABLE_PLUGIN_AUTOLOAD=None)
    assert ran.counts == {"passed": 1}, ran.out


def test_not_loaded_at_all(suite: Callable[..., Suite]) -> None:
    """Where the plugin is kept out, shared fixtures are session fixtures."""
    ran = suite(
        test_it="""
            from lastout.pytest_plugin import shared_fixture
            from say import say

            @shared_fixture
            def plain():
                yield 1
                say("down")

            @shared_fixture(teardown=lambda value: say("down", value))
            def recorded():
                return 2

            def test_it(plain, recorded, request):
                assert not request.config.pluginmanager.hasplugin("lastout.pytest_plugin")
        """
    ).run("-p", "no:lastout.pytest_plugin")
    assert ran.counts == {"passed": 1}, ran.out
    assert ran.lines == ["down 2", "down"]


def test_not_in_the_main_process(suite: Callable[..., Suite]) -> None:
    """A controller that has not loaded it, though its workers have, is an error that says so."""
    ran = suite(
        conftest="""
            def pytest_configure(config):
                if not hasattr(config, "workerinput"):
                    plugin = config.pluginmanager.get_plugin("lastout.pytest_plugin")
                    config.pluginmanager.unregister(plugin)
        """,
        test_it="def test_it(lastout_run): pass",
    ).run("-n1")
    assert ran.counts == {"error": 1}, ran.out
    assert "add `-p lastout.pytest_plugin` to the `addopts` of pytest" in ran.out

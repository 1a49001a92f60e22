"""`lastout completion`: TAB knows commands, options and scopes."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

import pytest

import lastout
from lastout.cli.completion import scope_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.shell import Shell

    from .conftest import Ran


def test_tab_in_a_shell(shell: Shell) -> None:
    """In bash the script makes TAB complete a command, an option, and a scope's name."""
    shell.run('eval "$(lastout completion bash)"')
    shell.run("set -o emacs; stty echo")
    with lastout.Scope("alone"):
        for typed, completed in (
            ("lastout rea\t", "lastout reap "),
            ("lastout show --js\t", "lastout show --json "),
            ("lastout show al\t", "lastout show alone "),
        ):
            shell.type(typed)
            shell.until(completed)
            shell.type("\x15")  # Ctrl-U: the line is empty again


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_there_is_a_script(name: str, run: Callable[..., Ran]) -> None:
    """Each of the three has its script, which names the command."""
    shown = run("completion", name)
    assert shown.status == 0
    assert "lastout" in shown.out


def test_another_shell_is_wrong_use(run: Callable[..., Ran]) -> None:
    """A shell that is not known is status 2."""
    assert run("completion", "tcl").status == 2


def test_without_argcomplete_it_says_what_to_install() -> None:
    """Without the package the script is not printed: status 2, and the name of the extra."""
    code = (
        "import sys; sys.modules['argcomplete'] = None; from lastout.cli.main import main;"
        "sys.exit(main(['completion', 'bash']))"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "lastout[cli]" in ended.stderr


def test_without_argcomplete_tab_does_nothing() -> None:
    """Without the package there is no answer to a shell that asks, and the command is run."""
    code = (
        "import sys; sys.modules['argcomplete'] = None; from lastout.cli.main import main;"
        "sys.exit(main(['list']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "_ARGCOMPLETE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "there are no scopes" in ended.stderr


def test_a_root_that_is_refused_has_no_names(tmp_path: Path) -> None:
    """Where the root cannot be used TAB offers nothing; the command itself says why."""
    root = tmp_path / "link"
    root.symlink_to(tmp_path)
    assert scope_names(Namespace(root=str(root))) == []

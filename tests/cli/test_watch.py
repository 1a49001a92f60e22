"""`lastout watch`: shown again when something happens, until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import lastout
from lastout.backends.local import LocalBackend
from lastout.cli.list_show import inspect_scopes
from lastout.cli.watch import _print

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    import pytest

    from support import Program
    from support.shell import Shell

    Start = Callable[..., subprocess.Popen[str]]


def next_of(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """The scopes of the next document."""
    assert process.stdout is not None
    scopes: list[dict[str, Any]] = json.loads(process.stdout.readline())["scopes"]
    return scopes


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its status and what it complained of, after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    return process.returncode, err


def test_it_tells_what_happens(start: Start) -> None:
    """A scope that comes, a thing that is made in it, and its end are told; then Ctrl-C ends it."""
    process = start("watch", "--json")
    assert next_of(process) == []
    with lastout.Scope("s") as scope:
        while not (found := next_of(process)):
            continue
        scope.directory()
        while not found or not found[0]["artifacts"]:
            found = next_of(process)
        assert found[0]["name"] == "s"
        assert found[0]["members"][0]["pid"] == os.getpid()
    while next_of(process):
        continue
    assert ended(process) == (0, "")


def test_a_death_is_told(start: Start, program: Callable[..., Program]) -> None:
    """A member that is killed is shown as dead, without anybody having to write it down."""
    with lastout.Scope("s"):
        child = program("import lastout; lastout.Scope('s').file(); print(input())")
        process = start("watch", "s", "--json")
        while not any(one["unresolved"] for one in next_of(process)[0]["members"]):
            continue
        child.kill()
        while all(one["alive"] for one in next_of(process)[0]["members"]):
            continue
        child.end()
        assert ended(process) == (0, "")


def test_a_scope_that_is_no_more(start: Start) -> None:
    """When the scope that is watched goes, that is said, and a new one of its name is shown."""
    with lastout.Scope("s"):
        process = start("watch", "s")
        assert process.stdout is not None
        assert process.stdout.readline().startswith("s: in use, 1 alive")
    while "is no more" not in process.stdout.readline():
        continue
    with lastout.Scope("s"):
        while not process.stdout.readline().startswith("s: in use, 1 alive"):
            continue
    assert ended(process) == (0, "")


def test_one_that_is_not_there(start: Start) -> None:
    """A name that nobody has is status 2."""
    process = start("watch", "nobody")
    assert "there is no scope" in process.communicate(timeout=30)[1]
    assert process.returncode == 2


def test_it_leaves_a_clean_terminal(shell: Shell) -> None:
    """On a terminal it has a screen of its own, and gives the old one back with its cursor."""
    with lastout.Scope("s"):
        for end in ("\x03", "TERM"):
            shell.type("lastout watch\n")
            shell.until("\x1b[?1049h")
            shell.until("in use")
            if end == "TERM":
                os.killpg(shell.in_front(), signal.SIGTERM)
            else:
                shell.type(end)
            rest = shell.until("=ready=>")
            assert "\x1b[?1049l" in rest
            assert "\x1b[?25h" in rest
            assert shell.status() == (143 if end == "TERM" else 0)


def test_a_reader_that_goes(start: Start) -> None:
    """When nobody reads any more it ends quietly, with the next thing that happens."""
    process = start("watch", "--json")
    assert next_of(process) == []
    assert process.stdout is not None
    process.stdout.close()
    with lastout.Scope("s"):
        assert process.wait(30) == 141
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_nothing_new_is_not_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe a look that shows what the last one did prints nothing."""
    backend = LocalBackend(None)
    with lastout.Scope("s"):
        views = inspect_scopes(backend)
        _print(True, backend, None, iter([views, views, []]))
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(one["scopes"]) for one in documents] == [1, 0]

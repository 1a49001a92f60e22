"""`lastout list` and `show`: what there is, told in a table or as JSON, and left untouched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program
    from support.shell import Shell

    from .conftest import Ran

    Run = Callable[..., Ran]

MEMBER = """
    import lastout
    from say import say

    scope = lastout.Scope("s")
    outer = scope.directory()
    inside = scope.file(outer / "inside")
    inside_size = (outer / "inside").write_bytes(b"x" * 1500)
    memory = scope.shared_memory(5000)
    own = scope.directory(lifetime="member")
    scope.popen(["sleep", "600"])
    say(outer)
    say("ready")
    input()
    memory.close()
"""


@pytest.fixture
def killed(program: Callable[..., Program]) -> Path:
    """A member of the scope "s" was killed; the directory that it has left."""
    child = program(MEMBER)
    child.wait_for("ready")
    child.kill()
    child.end()
    return Path(child.lines[0])


def listing() -> dict[str, bytes]:
    """Everything that lies in the root, with its contents."""
    root = Path(os.environ["LASTOUT_ROOT"])
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_nothing_is_there(run: Run) -> None:
    """Without a scope there is nothing on standard output, and that is no error."""
    shown = run("list")
    assert (shown.status, shown.out) == (0, "")
    assert "there are no scopes" in shown.err
    document = json.loads(run("list", "--json").out)
    assert document == {"format": 1, "root": os.environ["LASTOUT_ROOT"], "scopes": []}
    assert not Path(os.environ["LASTOUT_ROOT"]).exists()


def test_the_list(run: Run, killed: Path) -> None:
    """Each scope is a line: whether it is in use, by how many, and what is in it."""
    with lastout.Scope("other") as scope:
        scope.directory()
        lines = [line.split() for line in run("list").out.splitlines()]
    assert lines[0] == ["SCOPE", "STATE", "ALIVE", "DEAD", "ARTIFACTS", "AGE"]
    assert [line[:-1] for line in lines[1:]] == [
        ["other", "in", "use", "1", "0", "1"],
        ["s", "abandoned", "0", "1", "5"],
    ]
    assert run("reap").status == 0
    assert not killed.exists()


def test_one_scope(run: Run, killed: Path) -> None:
    """`show` names the members, and the artifacts in the order in which they would go."""
    shown = run("show", "s")
    assert shown.status == 0
    assert "s: abandoned, 0 alive, 1 dead" in shown.out
    lines = shown.out.splitlines()
    rows = [
        line.split() for line in lines[lines.index("in the order in which they would go") + 2 :]
    ]
    assert [row[:2] for row in rows] == [
        ["1", "popen"],
        ["2", "directory"],
        ["3", "shared_memory"],
        ["4", "file"],
        ["5", "directory"],
    ]
    assert rows[0][2:4] == ["sleep", "600"]
    assert [row[-2:] for row in rows[2:]] == [["5.0", "kB"], ["1.5", "kB"], ["1.5", "kB"]]
    assert run("reap").status == 0


def test_the_facts(run: Run, killed: Path) -> None:
    """As JSON all of it can be read by a program, under keys that are documented."""
    [found] = json.loads(run("show", "s", "--json").out)["scopes"]
    keys = documented_keys()
    assert set(found) == keys["a scope"]
    [member] = found["members"]
    assert set(member) == keys["a member"]
    assert (member["alive"], member["unresolved"], found["state"]) == (False, 5, "abandoned")
    assert 0 < member["age"] < 100
    assert all(set(one) == keys["an artifact"] for one in found["artifacts"])
    sizes = [(one["kind"], one["size"], one["size_complete"]) for one in found["artifacts"]]
    assert sizes == [
        ("popen", None, None),
        ("directory", 0, True),
        ("shared_memory", 5000, True),
        ("file", 1500, True),
        ("directory", 1500, True),
    ]
    assert [one["due"] for one in found["artifacts"]] == [True] * 5
    assert found["artifacts"][0]["argv"] == ["sleep", "600"]
    assert json.loads(run("list", "--json").out)["scopes"][0]["name"] == "s"
    assert run("reap").status == 0


def documented_keys() -> dict[str, set[str]]:
    """The keys in the tables of the reference page, by the table's heading."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
    keys: dict[str, set[str]] = {}
    heading = ""
    for line in page.read_text().splitlines():
        if line.startswith("| key of "):
            heading = line.split("|")[1].strip().removeprefix("key of ")
            keys[heading] = set()
        elif heading and line.startswith("| `"):
            keys[heading] |= {word.strip(" `") for word in line.split("|")[1].split(",")}
        elif not line.startswith("|"):
            heading = ""
    return keys


def test_looking_changes_nothing(run: Run, killed: Path) -> None:
    """No look joins, cleans or writes anything."""
    before = listing()
    for arguments in (["list"], ["show", "s"], ["reap", "--dry-run"], ["list", "--json"]):
        run(*arguments)
    assert listing() == before
    assert killed.exists()
    assert run("reap").status == 0


def test_looking_keeps_nothing_alive(run: Run) -> None:
    """A scope in use is not one member more for being looked at."""
    with lastout.Scope("s") as scope:
        before = scope.members()
        run("show", "s")
        assert scope.members() == before


def test_a_scope_that_is_not_there(run: Run) -> None:
    """`show` of a name that nobody has is status 2, and names those that there are."""
    with lastout.Scope("here"):
        shown = run("show", "there")
        assert (shown.status, shown.out) == (2, "")
        assert "there is no scope 'there'" in shown.err
        assert "there are: here" in shown.err
        assert run("show", "a/b").status == 2


def test_a_root_that_is_refused(run: Run, tmp_path: Path) -> None:
    """Where the root cannot be trusted every command is status 2 and says what to do."""
    refused = tmp_path / "refused"
    refused.mkdir()
    refused.chmod(0o777)
    for command in (["list"], ["show", "s"], ["reap"], ["watch"]):
        shown = run(*command, "--root", refused)
        assert (shown.status, shown.out) == (2, ""), shown
        assert "chmod go-w" in shown.err


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_root_that_cannot_be_made(run: Run) -> None:
    """Where no directory can be made it is not said that somebody removed it."""
    shown = run("run", "--root", "/proc/x", "--", "true")
    assert shown.status == 125
    assert "cannot make the directory for scopes '/proc/x'" in shown.err
    assert shown.err.endswith(
        "no directory can be made there; choose another root (LASTOUT_ROOT)\n"
    )


def test_a_journal_that_cannot_be_read(run: Run) -> None:
    """A scope of a newer lastout is shown as far as it goes; the rest is said beside it."""
    from lastout._scopes.records import journal

    with lastout.Scope("s") as scope:
        newer = Path(scope.path) / "0123456789abcdef.journal"
        newer.write_bytes(journal.seal('["lastout",99,"0123456789abcdef"]'))
        newer.chmod(0o600)
        shown = run("show", "s")
        assert shown.status == 0
        assert "newer lastout" in shown.err
        found = json.loads(run("list", "--json").out)["scopes"][0]
        assert "newer lastout" in found["problems"][0]
        newer.unlink()


def test_names_cannot_move_the_cursor(run: Run, tmp_path: Path) -> None:
    """A path with control characters in it is shown escaped."""
    with lastout.Scope("s") as scope:
        scope.directory(tmp_path / "a\x1b[2J\nb")
        shown = run("show", "s").out
    assert "\\x1b[2J\\nb" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("encoding", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_letters_that_the_encoding_lacks(
    encoding: dict[str, str], run: Run, tmp_path: Path
) -> None:
    """What cannot be printed in this locale is shown escaped, and nothing fails."""
    with lastout.Scope("maße") as scope:
        scope.directory(tmp_path / "\udcff")
        shown = run("show", "maße", env={**os.environ, **encoding})
    assert shown.status == 0, shown.err
    assert "\\udcff" in shown.out


def test_a_closed_pipe(killed: Path, run: Run) -> None:
    """`lastout list | head -0` ends quietly; so does one without any standard output."""
    del killed
    command = f"{sys.executable} -m lastout show s"
    for line in (f"{command} | head -0; echo ${{PIPESTATUS[0]}}", f"{command} >&-; echo $?"):
        bash = ["bash", "-c", line]
        ended = subprocess.run(bash, capture_output=True, text=True, timeout=60, check=False)
        assert ended.stderr == ""
        assert ended.stdout.strip() in ("0", "141")
    assert run("reap").status == 0


def test_on_a_terminal_it_is_a_table(killed: Path, shell: Shell) -> None:
    """On a terminal rich draws, unless that can do no more than lines."""
    assert "\x1b[" in shell.run("lastout list")
    assert "\x1b[" not in shell.run("TERM=dumb lastout list")
    shell.run("lastout reap")
    assert not killed.exists()


def test_without_rich_it_is_plain(killed: Path, shell: Shell) -> None:
    """Without rich a terminal gets what a pipe gets."""
    code = (
        "import sys; sys.modules['rich'] = None; from lastout.cli.main import main;"
        "sys.exit(main(sys.argv[1:]))"
    )
    shown = shell.run(f'{sys.executable} -c "{code}" list')
    assert "\x1b[" not in shown
    assert shown.splitlines()[0].split()[:2] == ["SCOPE", "STATE"]
    shell.run("lastout reap")
    assert not killed.exists()


def test_the_help_of_each_command(run: Run) -> None:
    """`--help` explains each command, with its exit statuses or an example."""
    commands: list[Any] = [[], ["run"], ["list"], ["show"], ["reap"], ["watch"], ["completion"]]
    for command in commands:
        shown = run(*command, "--help", env={**os.environ, "COLUMNS": "80"})
        assert shown.status == 0
        assert "examples:" in shown.out
        assert all(len(line) <= 80 for line in shown.out.splitlines()), shown.out


def test_the_version(run: Run) -> None:
    """`--version` is that of the package."""
    from importlib import metadata

    try:
        wanted = metadata.version("lastout")
    except metadata.PackageNotFoundError:
        pytest.skip("not installed: run from the source tree")
    assert run("--version").out == f"lastout {wanted}\n"


def test_one_without_members(run: Run) -> None:
    """A scope in which there is nothing yet, or nothing any more, is shown with its place."""
    with lastout.Scope("other") as scope:
        empty = Path(scope.path).parent / "empty"
        empty.mkdir(0o700)
        (empty / "scope.lock").touch(0o600)
        shown = run("show", "empty")
        assert shown.status == 0, shown.err
        assert shown.out == f"empty: abandoned, 0 alive, 0 dead\n\n{empty}\n"
    assert run("reap").status == 0


def test_ctrl_c_while_it_looks_is_a_status_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C while it looks is the status that a shell shows for it, without a traceback."""

    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_work", interrupted)
    assert main.main(["list"]) == 130

"""`lastout reap`: clean after the dead, or say what there is to clean."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import lastout
from lastout.backends.local import LocalBackend
from support.journals import WrittenScope, made

from .test_list_show import documented_keys, killed

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program
    from support.shell import Shell

    from .test_list_show import Run

__all__ = ["killed"]  # a fixture


def test_it_cleans_and_says_so(run: Run, killed: Path) -> None:
    """Each thing is a line, with what became of it; afterwards nothing is left, status 0."""
    shown = run("reap")
    assert shown.status == 0, shown.err
    assert [line.split()[:2] for line in shown.out.splitlines()[1:]] == [["s", "done"]] * 5
    assert not killed.exists()
    assert run("reap") == (0, "", "")


def test_a_dry_run_touches_nothing(run: Run, killed: Path) -> None:
    """`--dry-run` says what would go, in its order; status 1 while there is something."""
    shown = run("reap", "--dry-run")
    assert shown.status == 1
    kinds = [line.split()[2] for line in shown.out.splitlines()[1:]]
    assert kinds == ["popen", "directory", "shared_memory", "file", "directory"]
    assert killed.exists()
    assert run("reap", "s").status == 0
    assert run("reap", "--dry-run") == (0, "", "")


def test_what_is_in_use_is_left(run: Run) -> None:
    """A scope in use is not touched, and that is no failure."""
    with lastout.Scope("s") as scope:
        place = scope.directory()
        assert run("reap") == (0, "", "")
        assert run("reap", "--dry-run") == (0, "", "")
        assert Path(place).is_dir()


def test_one_that_is_not_there_is_clean(run: Run) -> None:
    """A scope that is not there has nothing left: status 0, and a word about it."""
    shown = run("reap", "nobody")
    assert (shown.status, shown.out) == (0, "")
    assert "there is no scope 'nobody'" in shown.err


def test_what_stays_is_status_1(run: Run, tmp_path: Path) -> None:
    """What could not be cleaned is named with its reason, and stays for the next one."""
    scope = lastout.Scope("s")
    scope.command(["sh", "-c", "test -e tidy"], cwd=tmp_path)
    scope.directory()
    assert not scope.leave().ok
    shown = run("reap")
    assert shown.status == 1
    assert "failed" in shown.out
    assert "sh -c" in shown.err
    shown = run("reap", "--json")
    document = json.loads(shown.out)
    assert (shown.status, document["dry_run"]) == (1, False)
    [found] = document["scopes"]
    assert found["name"] == "s"
    [outcome] = found["outcomes"]
    assert set(outcome) == documented_keys()["an outcome"]
    assert (outcome["status"], bool(outcome["error"])) == ("failed", True)
    (tmp_path / "tidy").touch()
    assert run("reap").status == 0


def leave_behind(*things: tuple[str, str]) -> None:
    """The journal of a dead member of the scope `s`, who made these, with no data."""
    left = (made(number, place, kind) for number, (kind, place) in enumerate(things, 1))
    WrittenScope(LocalBackend(None)).unlocked("abc", *left, who=None)


def test_an_error_of_any_type_says_of_what_it_is(run: Run, tmp_path: Path) -> None:
    """It is printed with artifact and type; one of lastout's own says of what it is by itself."""
    leave_behind(("container", "box"), ("file", str(tmp_path)))
    shown = run("reap")
    replaced, missing = sorted(shown.err.splitlines(), key=lambda line: "container" in line)
    assert (shown.status, missing) == (1, "lastout: s: container box: KeyError: 'engine'")
    assert replaced.startswith(f"lastout: s: the file '{tmp_path}' was replaced")
    [scope] = json.loads(run("reap", "--json").out)["scopes"]
    errors = {one["what"]: one["error"] for one in scope["outcomes"]}
    assert errors["container box"] == "KeyError: 'engine'"
    assert errors[f"file {tmp_path}"].startswith("the file")
    shutil.rmtree(Path(os.environ["LASTOUT_ROOT"], "s"))


def test_a_missing_package_is_named_once(run: Run) -> None:
    """One thing is named with it; several things are counted, and the reason is printed once."""
    leave_behind(("pidfile", "/a.pid"), ("pidfile", "/b.pid"), ("teapot", "/pot"))
    shown = run("reap")
    assert shown.status == 1
    [pot, pids] = shown.err.splitlines()
    assert pot.startswith("lastout: s: teapot /pot: nothing here cleans a 'teapot': ")
    assert pids.startswith("lastout: s: 2 artifacts: nothing here cleans a 'pidfile': ")
    shutil.rmtree(Path(os.environ["LASTOUT_ROOT"], "s"))


def test_long_ones_show_progress(shell: Shell, killed: Path) -> None:
    """On a terminal a bar shows how far it is, on standard error, and is gone afterwards."""
    shown = shell.run("lastout reap >/dev/null")
    assert "━" in shown
    assert not killed.exists()


def test_another_root(run: Run, tmp_path: Path) -> None:
    """`--root` looks elsewhere."""
    with lastout.Scope("s", root=tmp_path / "elsewhere"):
        assert run("list").out == ""
        assert " 1 " in run("list", "--root", tmp_path / "elsewhere").out


def test_what_is_no_scope_is_no_failure(run: Run) -> None:
    """A file or link among the scopes is named with what to do, and nothing is left of the dead."""
    root = Path(os.environ["LASTOUT_ROOT"])
    with lastout.Scope("s"):
        (root / "notes").touch()
        (root / "link").symlink_to("s")
        for command in (["reap"], ["reap", "--dry-run"], ["list"]):
            shown = run(*command)
            assert shown.status == 0, shown
            for name, kind in (("notes", "no directory"), ("link", "a link")):
                line = f"lastout: '{root / name}' is {kind}, so it is no scope, and left alone"
                assert shown.err.count(line) == 1, shown.err
        shown = run("reap", "notes")
        assert (shown.status, shown.out) == (0, "")
        assert "left alone; move it away" in shown.err
        assert "'s'" not in shown.err
        (root / "notes").unlink()
        (root / "link").unlink()


def test_a_directory_of_the_users_in_a_scope(run: Run) -> None:
    """It is reported once, with the scope's name, where it is now and what to do; it stays."""
    root = Path(os.environ["LASTOUT_ROOT"])
    abandoned = root / "s"
    abandoned.mkdir(parents=True, mode=0o700)
    root.chmod(0o700)
    (abandoned / "mine").mkdir()
    for command in (["reap"], ["reap"], ["reap", "s"]):
        shown = run(*command)
        assert shown.status == 1
        assert [line.split()[:2] for line in shown.out.splitlines()[1:]] == [["s", "failed"]]
        [line] = shown.err.splitlines()
        [mine] = root.glob("garbage-*/mine")
        assert line.startswith(
            f"lastout: s: cannot delete what is left of the scope 's', '{mine}': "
        )
        assert line.endswith(
            "lastout makes only files there; move that directory away, or remove it"
        )
    assert run("reap", "other").status == 0
    mine.rmdir()
    assert run("reap", "s").status == 0
    assert list(root.iterdir()) == []


def test_a_dry_run_as_json(run: Run, killed: Path) -> None:
    """`--dry-run --json` tells the same as `show --json`, and touches nothing."""
    shown = run("reap", "--dry-run", "--json")
    document = json.loads(shown.out)
    assert (shown.status, document["dry_run"]) == (1, True)
    [scope] = document["scopes"]
    assert [one["due"] for one in scope["artifacts"]] == [True] * 5
    assert killed.exists()
    assert run("reap").status == 0


def test_a_dry_run_where_processes_decide(run: Run, program: Callable[..., Program]) -> None:
    """While a dead member's processes are to be ended, the rest is for those who live then."""
    with lastout.Scope("s") as scope:
        child = program("""
            import lastout, os, signal

            lastout.Scope("s").popen(["sleep", "600"], lifetime="member")
            os.kill(os.getpid(), signal.SIGKILL)
        """)
        child.end()
        shown = run("reap", "--dry-run")
        assert shown.status == 1
        assert "who still lives when its processes have ended decides" in shown.err
        assert len(scope.members()) == 2

"""Changes: waking when something happens in a directory."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import lastout
from lastout._platform.changes import DirectoryChanges

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from support import Program


def test_it_wakes_for_files(tmp_path: Path) -> None:
    """A file that comes, grows or goes wakes; one that is only read does not."""
    file = tmp_path / "file"
    with DirectoryChanges("ignored") as changes:
        changes.follow([str(tmp_path), str(tmp_path / "not there")])
        assert not changes.wait(0)
        for happens in (file.touch, lambda: file.write_text("x"), file.unlink):
            happens()
            assert changes.wait(10)
        file.touch()
        assert changes.wait(10)
        file.read_text()
        (tmp_path / "ignored").write_text("x")
        assert not changes.wait(0.01)


def test_a_death_wakes(program: Callable[..., Program]) -> None:
    """The kernel closes the journal of a member that is killed: that is an event."""
    with lastout.Scope("s") as scope, DirectoryChanges("scope.lock") as changes:
        child = program(
            "import lastout; from say import say; lastout.Scope('s'); say('ready'); input()"
        )
        child.wait_for("ready")
        changes.follow([scope.path])
        assert not changes.wait(0)
        child.kill()
        assert changes.wait(10)
        child.end()


def test_where_nobody_tells_time_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without inotify it waits, and says that something may have happened."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("sys.platform", "another")
        changes = DirectoryChanges("")
    with changes:
        changes.follow([str(tmp_path)])
        began = monotonic()
        assert changes.wait(0.02)
        assert monotonic() - began >= 0.02


def test_where_nobody_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems time passes, and then something may have happened."""
    monkeypatch.setattr("sys.platform", "other")
    with DirectoryChanges("ignored") as changes:
        monkeypatch.undo()
        changes.follow([str(tmp_path)])
        began = monotonic()
        assert changes.wait(0.05) is True
        assert monotonic() - began >= 0.05

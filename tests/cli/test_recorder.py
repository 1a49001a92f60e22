"""Recorder: what it does when a journal cannot be had, or says nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import lastout
from lastout._scopes.records.journal import seal
from lastout.cli.timeline.recorder import JournalRecorder

if TYPE_CHECKING:
    import pytest


def test_a_root_that_is_gone(tmp_path: Path) -> None:
    """Where there is no root there are no journals, and that is no error."""
    with JournalRecorder(str(tmp_path / "nowhere"), "s") as recorder:
        assert recorder.journals() == {}


def test_a_journal_that_is_removed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot be opened is left out, and tried again with the next look."""
    refused = []
    openly = os.open

    def refuse(path: str, flags: int, *rest: int, **more: int) -> int:
        if str(path).endswith(".journal") and not refused:
            refused.append(path)
            raise FileNotFoundError(path)
        return openly(path, flags, *rest, **more)

    with lastout.Scope("s") as scope:
        root = str(Path(scope.path).parent)
        monkeypatch.setattr(os, "open", refuse)
        with JournalRecorder(root, "s") as recorder:
            recorder.stop()
            assert len(recorder.journals()) == 1
        assert len(refused) == 1


def test_a_journal_of_another_version() -> None:
    """Of one that cannot be read it is not known who wrote it; what stands there is kept."""
    with lastout.Scope("s") as scope:
        strange = Path(scope.path) / "strange.journal"
        strange.write_bytes(seal('["lastout",99,"strange"]'))
        with JournalRecorder(str(Path(scope.path).parent), "s") as recorder:
            assert b"99" in recorder.journals()["strange"]
            assert "strange" not in recorder._known
        strange.unlink()

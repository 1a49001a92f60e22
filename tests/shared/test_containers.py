"""Containers: removed by their engine, and only those that were recorded.

Where no engine runs, `tests/programs/engine.py` stands for one: it has the commands that are used,
with their options and what they print, and keeps its containers in a file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout import errors
from lastout._scopes.kinds import container, table
from support.adopted import reap, shown, track_and_be_killed
from support.artifacts import track

if TYPE_CHECKING:
    from collections.abc import Iterator

DOUBLE = Path(__file__).parents[1] / "programs" / "engine.py"


class Engine:
    """An engine: the program, and what it has."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self.file = program.with_name("containers.json")

    def run(self, name: str, label: str = "") -> str:
        """Start a container; its id."""
        argv = [str(self.program), "run", "--name", name, "--label", label]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    def names(self) -> list[str]:
        """Of all that are there."""
        return [one["name"] for one in self.state()["containers"]]

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = {"containers": []}
        return json.loads(self.file.read_text()) if self.file.exists() else found

    def set(self, **what: object) -> None:
        """Have it behave in some way from now on."""
        self.file.write_text(json.dumps({**self.state(), **what}))


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The double, found as `docker`."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable} -IS\n" + DOUBLE.read_text())
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return Engine(program)


def test_it_is_removed(engine: Engine) -> None:
    """Cleaning removes it, by its name, and no other; twice is once."""
    engine.run("one")
    engine.run("other")
    made = track("container", "one")
    made.clean()
    assert engine.names() == ["other"]
    made.clean()


def test_by_its_id(engine: Engine) -> None:
    """An id will do, whole or its beginning."""
    whole = engine.run("one")
    assert track("container", whole[:12]).data["id"] == whole
    track("container", whole).clean()
    assert engine.names() == []


def test_another_of_its_name_is_left_alone(engine: Engine) -> None:
    """One that was made anew has another id: it stays, and is reported."""
    engine.run("one")
    made = track("container", "one")
    made.clean()
    engine.run("one")
    with pytest.raises(errors.ArtifactReplaced, match="another one has its name"):
        made.clean()
    assert engine.names() == ["one"]


def test_one_that_was_renamed_goes(engine: Engine) -> None:
    """Its id is what counts."""
    engine.run("one")
    made = track("container", "one")
    containers = engine.state()["containers"]
    engine.set(containers=[{**containers[0], "name": "new"}])
    made.clean()
    assert engine.names() == []


def test_all_of_a_label(engine: Engine) -> None:
    """A label may be recorded first; what has it when it is cleaned goes."""
    made = track("container", "label=run=7")
    for name, label in (("a", "run=7"), ("b", "run=7"), ("c", "run=70"), ("d", "")):
        engine.run(name, label)
    made.clean()
    assert engine.names() == ["c", "d"]
    made.clean()


@pytest.mark.thorough
def test_somebody_else_removes_it_already(engine: Engine) -> None:
    """The engine refuses while it is being removed; then it is gone."""
    engine.run("one")
    made = track("container", "one")
    engine.set(refusals=2, then="gone")
    made.clean()
    assert engine.names() == []


@pytest.mark.thorough
def test_it_cannot_be_removed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the engine says of it is in the error."""
    monkeypatch.setattr(container, "_PAUSE", 0)
    engine.run("one")
    made = track("container", "one")
    engine.set(refusals=1000)
    with pytest.raises(errors.CleanupFailed, match="removal of container one is already"):
        made.clean()
    assert engine.names() == ["one"]


def test_more_come_as_they_are_removed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a label, what starts them anew has to end first."""
    monkeypatch.setattr(container, "_ROUNDS", 2)
    engine.run("one", "run=7")
    made = track("container", "label=run=7")
    engine.set(immortal=True)
    with pytest.raises(errors.CleanupFailed, match="more come"):
        made.clean()


@pytest.mark.thorough
def test_its_time_is_over(engine: Engine) -> None:
    """With no time left it is not tried again."""
    engine.run("one")
    made = track("container", "one")
    engine.set(refusals=1000)
    began = monotonic()
    with pytest.raises(errors.CleanupFailed):
        made.clean(seconds=1)
    assert monotonic() - began < 10


def test_the_engine_is_away(engine: Engine) -> None:
    """Without its engine nothing is known to be gone."""
    engine.run("one")
    made = track("container", "one")
    engine.set(away=True)
    with pytest.raises(errors.CleanupFailed, match="Cannot connect"):
        made.clean()
    with pytest.raises(errors.SystemRefused, match="Cannot connect"):
        track("container", "one")


def test_the_engine_hangs(engine: Engine) -> None:
    """Its time is kept; the program is killed."""
    engine.run("one")
    made = track("container", "one")
    engine.set(hangs=True)
    with pytest.raises(errors.CleanupTimeout):
        made.clean(seconds=0.5)


def test_the_program_is_gone(engine: Engine) -> None:
    """Without the program that was recorded no other one is asked."""
    engine.run("one")
    made = track("container", "one")
    engine.program.unlink()
    with pytest.raises(errors.CleanupFailed, match="cannot be started"):
        made.clean()


@pytest.mark.thorough
def test_the_engine_that_was_asked_is_the_one_that_cleans(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Program and address are those of the time when it was recorded."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///one")
    engine.run("one")
    made = track("container", "one")
    monkeypatch.setenv("DOCKER_HOST", "unix:///other")
    monkeypatch.setenv("PATH", str(tmp_path))
    made.clean()
    assert engine.state()["hosts"][-1] == "unix:///one"
    assert engine.names() == []


def test_an_engine_by_its_name(engine: Engine, tmp_path: Path) -> None:
    """`engine=` chooses it; what is chosen is what is there, or an error."""
    podman = engine.program.with_name("podman")
    shutil.copy(engine.program, podman)
    engine.run("one")
    with lastout.Scope(root=tmp_path / "root") as scope:
        artifact = scope.track("container", "one", engine="podman")
        assert artifact.data["engine"] == str(podman)
        with pytest.raises(errors.UsageError, match="no program nerdctl"):
            scope.track("container", "one", engine="nerdctl")
    assert engine.names() == []


def test_there_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither docker nor podman is installed, the error names both."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.UsageError, match="docker or podman"):
        track("container", "one")


def test_one_that_is_not_there(engine: Engine) -> None:
    """Nothing is recorded of what is not there."""
    with pytest.raises(errors.ArtifactMissing, match="none of that name"):
        track("container", "one")


def test_the_beginning_of_several_ids(engine: Engine) -> None:
    """It has to be clear which one is meant."""
    same = [{"id": "abc" + end * 61, "name": name, "label": ""} for name, end in ("x1", "y2")]
    engine.set(containers=same)
    with pytest.raises(errors.UsageError, match="several ids"):
        track("container", "abc")


@pytest.mark.parametrize(
    "location", ["", "-f", "--all", "a b", "a/b", ".", "label=", "label==x", "label=a\nb", "a\0"]
)
def test_what_names_none(location: str, engine: Engine) -> None:
    """Above all nothing that the engine would take for an option."""
    with pytest.raises(errors.UsageError, match="names no container"):
        track("container", location)


@pytest.mark.parametrize("location", [7, b"one", Path("one"), None])
def test_the_wrong_type(location: object, engine: Engine) -> None:
    """A name is text."""
    with pytest.raises(TypeError):
        track("container", location)


def test_a_password_is_not_written_down(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of the engine with a password in it is refused, and not told."""
    monkeypatch.setenv("DOCKER_HOST", "ssh://me:secret@there")
    engine.run("one")
    with pytest.raises(errors.UsageError, match="DOCKER_HOST has a password") as caught:
        track("container", "one")
    assert "secret" not in str(caught.value)


def test_after_a_kill(engine: Engine, tmp_path: Path) -> None:
    """What a killed process had handed over goes with the next reap."""
    engine.run("one")
    track_and_be_killed(tmp_path / "root", "container", "one")
    assert engine.names() == ["one"]
    reap(tmp_path / "root")
    assert engine.names() == []


def test_it_is_listed(engine: Engine, tmp_path: Path) -> None:
    """`lastout show` names it."""
    engine.run("one")
    with lastout.Scope("job", root=tmp_path / "root") as scope:
        artifact = scope.track("container", "one")
        assert "one" in shown(tmp_path / "root")
        assert table.describe("container", "one", artifact.data) == "one (docker)"


@pytest.fixture(params=["docker", "podman"])
def real(request: pytest.FixtureRequest) -> Iterator[str]:
    """An engine that runs here, with an image that it has already."""
    program: str = request.param
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} here")
    argv = [program, "images", "--quiet"]
    asked = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    if asked.returncode or not asked.stdout.strip():
        pytest.skip(f"{program} does not run here, or has no image: {asked.stderr.strip()}")
    name = f"lastout-test-{os.getpid()}"
    argv = [program, "create", "--name", name, asked.stdout.split()[0], "sleep", "60"]
    subprocess.run(argv, capture_output=True, timeout=60, check=True)
    yield f"{program}:{name}"
    argv = [program, "rm", "--force", name]
    subprocess.run(argv, capture_output=True, timeout=60, check=False)


@pytest.mark.leaks("shared memory", reason="podman keeps its locks there")
def test_with_a_real_engine(real: str, tmp_path: Path) -> None:
    """A container of docker or podman goes with its scope."""
    program, _, name = real.partition(":")
    with lastout.Scope(root=tmp_path / "root") as scope:
        scope.track("container", name, engine=program)
    argv = [program, "ps", "--all", "--format", "{{.Names}}"]
    left = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout
    assert name not in left.split()

"""Upgrades: what a former build left is cleaned by this one, and what this one leaves by the next.

Callbacks are what binds builds together.  They are pickled into journals, and pickles name the
classes and functions of lastout by the place where they are found.
"""

from __future__ import annotations

import importlib
import operator
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import lastout
from lastout._exits import carrier, limit
from lastout._platform import imports
from lastout._scopes.guardian import client as guardian
from lastout._scopes.kinds import callback as callbacks
from lastout._scopes.records import journal
from support import keepsakes
from support.builds import OTHER_BUILD, by_hand
from support.keepsakes import KEPT, PYTHON, SCOPE, SEGMENTS, names_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program

    Segments = Callable[[list[tuple[str, str]]], dict[str, str]]

SOURCE = Path(lastout.__path__[0])

# Where a journal may name something of lastout's: these stay, whichever file it lies in.
PUBLIC = {"lastout", "lastout.errors", "lastout.integrations.pools"}

# What the texts of programs name.  Those of a former build may be started while it is replaced
# under them: what they name is there for one release more.
NAMED_BEFORE = {
    "lastout._shared.recorded:make",
    "lastout._shared.watch:main",
    "lastout._process.keeper:main",
    "lastout._process.carrier:arrive",
}
NAMED_BY_PROGRAMS = {
    callbacks._CHILD: "lastout._shared.recorded:make",
    guardian._PROGRAM: "lastout._shared.watch:main",
    limit._PROGRAM: "lastout._exits.keeper:main",
    carrier._SOURCE: "lastout._exits.carrier:restore_handlers",
}


def newest() -> list[str]:
    """One of each build: that of this Python, or the newest there is."""
    builds: dict[str, str] = {}
    for file in sorted(KEPT.glob("*.json"), key=lambda one: (one.stem.endswith(PYTHON), one)):
        builds[file.stem.partition("-")[0]] = file.stem
    return sorted(builds.values())


@pytest.fixture
def segments() -> Iterator[Segments]:
    """Makes what callbacks open, under other names; gives back how those begin."""
    made = []

    def make(wanted: list[tuple[str, str]]) -> dict[str, str]:
        names = {"lastout-kept-": f"lastout-kept-{uuid4().hex[:8]}-"}
        for kind, name in wanted:
            create, remove = SEGMENTS[kind]
            now = name.replace(*next(iter(names.items())))
            one = create(now)
            made.append((remove, now))
            getattr(one, "close", lambda: None)()
        return names

    yield make
    for remove, name in made:
        remove(name)


def names_in_root(directory: Path) -> Iterator[str]:
    """What the callbacks of all journals there would import."""
    for path in (directory / "root" / SCOPE).glob("*.journal"):
        yield from names_in_records(journal.records(path.read_bytes()))


def names_in_records(records: list[keepsakes.Record]) -> Iterator[str]:
    """What callbacks import, by their own names or in their pickles."""
    for one in records:
        if one[0] == "made" and one[3] == "callback":
            pickled = keepsakes.pickle_of(one)
            yield from names_in(pickled) if pickled else [one[4]]


def named_by_all() -> set[str]:
    """What former builds have named, of lastout's own."""
    kept = map(keepsakes.kept, KEPT.glob("*.json"))
    journals = (records for left in kept for records in left.journals.values())
    names = {name for records in journals for name in names_in_records(records)}
    return (
        {name for name in names if name.startswith("lastout")}
        | {*NAMED_BY_PROGRAMS.values()}
        | NAMED_BEFORE
    )


def assert_noted(directory: Path, expected: list[str]) -> None:
    """Clean, and see that each callback was called with what it was given, once."""
    failed = [(one.name, one.failure.exception) for one in lastout.reap() if one.failure]
    assert failed == []
    assert sorted((directory / "noted").read_text().splitlines()) == sorted(expected)
    assert os.listdir(directory / "root") == []


@pytest.mark.thorough(one_in=2)
@pytest.mark.parametrize("name", newest())
def test_what_a_former_build_left_is_cleaned(name: str, tmp_path: Path, segments: Segments) -> None:
    """Each callback that a killed member of it recorded is called, with what it was given."""
    left = keepsakes.kept(KEPT / f"{name}.json")
    expected = keepsakes.put_back(left, tmp_path, segments(left.segments))
    assert_noted(tmp_path, expected)


def test_what_this_build_leaves_is_cleaned(tmp_path: Path) -> None:
    """The same, for members of this build; and they name nothing but what is public."""
    keepsakes.record(tmp_path, SOURCE.parent)
    named = {name.partition(":")[0] for name in names_in_root(tmp_path)}
    assert_noted(tmp_path, (tmp_path / "expected").read_text().splitlines())
    assert {module for module in named if module.startswith("lastout")} == PUBLIC


@by_hand
def test_another_build_is_replaced(tmp_path: Path) -> None:
    """Members of another build are killed, and their lastout is replaced by this one."""
    library = tmp_path / "library"
    shutil.copytree(Path(OTHER_BUILD, "lastout"), library / "lastout")
    keepsakes.record(tmp_path, library)
    shutil.rmtree(library)
    shutil.copytree(SOURCE, library / "lastout")
    assert_noted(tmp_path, (tmp_path / "expected").read_text().splitlines())


def test_modules_can_move(
    tmp_path: Path, segments: Segments, program: Callable[..., Program]
) -> None:
    """Where modules lie elsewhere, a line in their old places leads there what was left."""
    package = tmp_path / "lastout"  # the callbacks find it there, before any other
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    modules = {name.partition(":")[0] for name in named_by_all()} - PUBLIC
    for module in sorted(modules):
        old = tmp_path / f"{module.replace('.', '/')}.py"
        new = old.with_name(f"moved_{old.name}")
        old.rename(new)
        to = f"{module.rpartition('.')[0]}.{new.stem}"
        old.write_text(f"from lastout._platform.imports import moved; moved(__name__, {to!r})\n")
    left = keepsakes.kept(KEPT / f"{newest()[-1]}.json")
    expected = keepsakes.put_back(left, tmp_path, segments(left.segments))
    child = program(
        """
        import sys
        import lastout
        from say import say

        say(len(lastout.Report()), lastout.reap().failed)
        say(*sorted(name for name in sys.modules if ".moved_" in name))
        """,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert child.end() == (0, "", "")
    said, moved = child.lines
    assert said == "0 ()"
    assert "lastout.moved__identity" in moved.split()
    assert sorted((tmp_path / "noted").read_text().splitlines()) == sorted(expected)


def test_a_moved_module_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its old name and by its new one there is the same module, with the same state."""
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "__init__.py").touch()
    (tmp_path / "house" / "new.py").write_text("state = []\n_private = object()\n")
    line = "from lastout._platform.imports import moved; moved(__name__, 'house.new')\n"
    (tmp_path / "house" / "old.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    old = importlib.import_module("house.old")
    try:
        house = importlib.import_module("house")
        assert old is importlib.import_module("house.new")
        assert old is house.old is house.new is sys.modules["house.old"]
        assert pickle.loads(b"chouse.old\n_private\n.") is old._private
    finally:
        for name in ("house", "house.old", "house.new"):
            sys.modules.pop(name, None)
            imports._loaded.pop(name, None)


@pytest.mark.parametrize("name", sorted(named_by_all()))
def test_each_place_that_was_named_is_there(name: str) -> None:
    """What a journal or program of a former build names is found where it was, or by a line there.

    Were it not, callbacks that were recorded before an upgrade would fail after it.
    """
    module, _, qualname = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    assert callable(found)


@pytest.mark.parametrize("text", NAMED_BY_PROGRAMS, ids=NAMED_BY_PROGRAMS.values())
def test_what_programs_name(text: str) -> None:
    """The texts of programs name what is listed here."""
    module, _, name = NAMED_BY_PROGRAMS[text].partition(":")
    assert f"from {module} import {name}" in text


@pytest.mark.parametrize("name", [*lastout.__all__, *lastout._PICKLED])
def test_it_says_where_it_is_found(name: str) -> None:
    """What is public, its methods too, says that it is of `lastout`, or of `lastout.errors`."""
    thing = getattr(lastout, name)
    # Nobody is given an Identity, so that its methods could be passed on; and what a function
    # has (`__annotate__`, from 3.14) is no method.
    has_methods = isinstance(thing, type) and name != "Identity"
    found = [getattr(thing, one) for one in dir(thing)] if has_methods else []
    methods = [one for one in found if isinstance(one, FunctionType)]
    for one in [thing, *(one for one in methods if one.__module__.startswith("lastout"))]:
        home = importlib.import_module(one.__module__)
        assert one.__module__ in PUBLIC
        assert operator.attrgetter(one.__qualname__)(home) is one


def test_what_is_only_pickled_is_not_shown() -> None:
    """What pickles alone name is no part of what `lastout` offers."""
    code = "import lastout; assert not {*lastout._PICKLED} & {*dir(lastout)}"
    subprocess.run([sys.executable, "-c", code], check=True)

"""Survey: how a scope that is held is looked at; what comes of it is tested with the reaper."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from lastout._identity import here
from lastout._scopes.records import journal
from lastout._scopes.records.containment import lies_inside
from lastout._scopes.records.survey import ScopeSurvey
from lastout.backends.memory import MemoryBackend
from lastout.errors import JournalTooNew
from support.journals import WrittenScope, made

if TYPE_CHECKING:
    from collections.abc import Callable

TOO_NEW = journal.seal('["lastout",99,"m"]')


class CountedScope(WrittenScope):
    """A locked scope in memory that counts how often it is asked, and may refuse to be read."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.held = self.hold()
        self.asked: Counter[str] = Counter()
        self.refused: dict[str, Exception] = {}
        self.later: dict[str, bytes] = {}  # what a journal has more of when it is read again

    def members(self) -> list[str]:
        self.asked["members"] += 1
        return self.held.members()

    def is_held(self, member: str) -> bool:
        return self.held.is_held(member)

    def read(self, member: str) -> bytes:
        self.asked[member] += 1
        if member in self.refused:
            raise self.refused[member]
        before = self.held.read(member)
        self.held.append(member, self.later.pop(member, b""))
        return before

    def survey(self, leaving: str = "") -> ScopeSurvey:
        held: Any = self
        return ScopeSurvey(held, "/r/s", leaving)


@pytest.fixture
def hall() -> CountedScope:
    return CountedScope()


@pytest.mark.parametrize(("leaving", "other"), [("a", "b"), ("b", "a")])
def test_a_lock_says_that_one_lives(hall: CountedScope, leaving: str, other: str) -> None:
    """Whose journal is held lives, whatever its pid says, and whoever is leaving."""
    hall.member(leaving, who=here())
    hall.member(other)
    survey = hall.survey(leaving)
    assert survey.living == [other]
    assert [one.token for one in survey.departed] == [leaving]


@pytest.mark.parametrize(("leaving", "other"), [("a", "b"), ("b", "a")])
def test_a_process_says_that_one_lives(
    hall: CountedScope, leaving: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose journal is free lives as long as its process does, whoever is leaving."""
    monkeypatch.setattr("lastout._scopes.records.liveness.ours", {other})
    hall.unlocked(leaving, who=here())
    hall.unlocked(other, who=here())
    survey = hall.survey(leaving)
    assert survey.living == [other]
    assert [one.token for one in survey.departed] == [leaving]


def test_members_are_listed_once(hall: CountedScope, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not listed again when nobody was found dead: the leaving one is not."""
    monkeypatch.setattr("lastout._scopes.records.liveness.ours", {"b"})
    hall.member("a")
    hall.unlocked("b", who=here())
    hall.member("c", who=here())
    hall.unlocked("d")
    hall.refused["d"] = OSError("cannot be read")
    survey = hall.survey("c")
    assert survey.living == ["a", "b", "d"]
    assert hall.asked["members"] == 1


def test_members_are_listed_again(hall: CountedScope) -> None:
    """A child that a dead member forked after the listing, just before it died, is found."""
    hall.unlocked("dead")

    def is_held(member: str) -> bool:
        hall.member("child")
        return hall.held.is_held(member)

    hall.is_held = is_held  # type: ignore[method-assign]
    survey = hall.survey()
    assert (survey.living, [one.token for one in survey.departed]) == (["child"], ["dead"])
    assert hall.asked["members"] == 2


def test_what_was_written_until_just_before(hall: CountedScope) -> None:
    """What a member wrote after it was first read, and before it was found dead, counts."""
    hall.unlocked("a")
    hall.later["a"] = made(1, "/late")
    assert [one.location for one in hall.survey().due()] == ["/late"]


def test_a_dead_member_is_read_no_more_than_twice(hall: CountedScope) -> None:
    """Its journal is read, looked at again once it is known to be dead, and not parsed anew."""
    hall.unlocked("a", made(1, "/x"))
    assert [one.location for one in hall.survey().due()] == ["/x"]
    assert hall.asked["a"] == 2


def test_unresolved_leaves_out_what_cannot_be_read(hall: CountedScope) -> None:
    """What the others have is told, where one journal is refused and one is too new."""
    hall.member("a")
    hall.refused["a"] = OSError("cannot be read")
    hall.held.publish("b", TOO_NEW)
    hall.member("c", made(1, "/c"))
    survey = hall.survey()
    assert survey.living == ["a", "b", "c"]
    assert [one.location for one in survey.unresolved()] == ["/c"]


@pytest.mark.parametrize("kind", ["callback", "command", "file", "process", "socket"])
def test_the_living_are_not_read_for_nothing(hall: CountedScope, kind: str) -> None:
    """Where there is no directory, and nothing to wait for, no living journal is read."""
    hall.unlocked("a", made(1, "/x", kind))
    hall.member("b")
    hall.refused["b"] = OSError("cannot be read")
    survey = hall.survey()
    due = survey.departed[0].unresolved()
    assert survey.plan(due) == (due, {})
    assert survey.problems == []
    assert hall.asked["b"] == 0


@pytest.mark.parametrize("refused", [OSError("cannot be read"), None], ids=["OSError", "too new"])
def test_what_cannot_be_told_stays(hall: CountedScope, refused: Exception | None) -> None:
    """Directories, and what waits for anything, stay while a living journal cannot be read."""
    prerequisites_elsewhere = [
        made(2, "/b", "callback"),
        made(3, "/f"),
        made(4, "/w", after=["b.1"]),
    ]
    hall.unlocked(
        "a", made(1, "/d", "directory"), *prerequisites_elsewhere, made(5, "/s", "socket")
    )
    hall.member("b", made(1, "/d/inside"))
    if refused:
        hall.refused["b"] = refused
    else:
        hall.held.publish("b", TOO_NEW + made(1, "/d/inside"))
    survey = hall.survey()
    ordered, edges = survey.plan(survey.departed[0].unresolved())
    assert [one.location for one in ordered] == ["/s", "/f", "/b"]
    assert edges == {}
    [problem] = survey.problems
    assert (problem.name, problem.seconds) == ("journal b", 0.0)
    assert problem.failure is not None
    assert isinstance(problem.failure.exception, type(refused) if refused else JournalTooNew)


def test_what_the_living_have_goes_first(hall: CountedScope) -> None:
    """A directory stays while somebody who lives has something in it, unless all is to go."""
    hall.unlocked("a", made(1, "/d", "directory"), made(2, "/e", "directory"))
    hall.member("b", made(1, "/d/inside"))
    survey = hall.survey()
    due = survey.departed[0].unresolved()
    assert [one.location for one in survey.plan(due)[0]] == ["/e"]
    assert [one.location for one in survey.plan(due, last=True)[0]] == ["/e", "/d"]


@pytest.mark.parametrize(
    "other", [CountedScope.member, CountedScope.unlocked], ids=["living", "dead"]
)
def test_what_waits_for_another_member_stays(
    hall: CountedScope, other: Callable[..., object]
) -> None:
    """What is to go after something of another member stays, if that is not to go now."""
    hall.unlocked("a", made(1, "/x", after=["b.1"]), made(2, "/y", after=["b.2"]), made(3, "/z"))
    other(hall, "b", made(1, "/first"))
    survey = hall.survey()
    due = survey.departed[0].unresolved()
    assert [one.location for one in survey.plan(due)[0]] == ["/z", "/y"]


def test_nothing_due_reads_nothing(hall: CountedScope) -> None:
    """Where there is nothing to clean, there is nothing to order, and nothing to be read."""
    hall.member("b")
    survey = hall.survey()
    assert survey.plan([]) == ([], {})
    assert hall.asked["b"] == 0


@pytest.mark.parametrize(
    ("record", "inside"),
    [
        (made(1, "/d/x"), True),
        (made(1, "/d/x/y"), True),
        (made(1, "/dx"), False),
        (made(1, "/e/d"), False),
        (made(1, "/d"), False),
        (made(1, "7", "popen", data={"cwd": "/d"}), True),
        (made(1, "7", "popen", data={"cwd": "/d/x"}), True),
        (made(1, "7", "popen", data={"cwd": "/dx"}), False),
    ],
)
def test_lies_inside(hall: CountedScope, record: bytes, inside: bool) -> None:
    """A journal is seen to name what lies, or runs, in a directory."""
    hall.unlocked("a", made(1, "/d", "directory"))
    [directory] = hall.survey().due()
    assert lies_inside(directory, record) == inside

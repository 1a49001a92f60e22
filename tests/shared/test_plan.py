"""Plan: the order in which artifacts go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastout._scopes.records import plan
from lastout._scopes.records.artifact import Artifact


def thing(
    number: int,
    location: str = "",
    *,
    kind: str = "directory",
    member: str = "m",
    after: tuple[str, ...] = (),
    at: int | None = None,
    **data: object,
) -> Artifact:
    location = location or f"/separate/{member}{number}"
    made = number if at is None else at
    return Artifact(f"{member}.{number}", kind, location, after=after, made_ns=made, data=data)


def ids(artifacts: list[Artifact]) -> list[str]:
    return [artifact.id for artifact in artifacts]


def test_the_last_made_goes_first() -> None:
    """Without any edge, artifacts go in reverse order of registration, over all members."""
    made = [thing(1, at=10), thing(1, member="n", at=20), thing(2, at=30)]
    assert ids(plan.order(made)) == ["m.2", "n.1", "m.1"]


def test_ties_go_by_member_and_number() -> None:
    """Where the clock ties, member and number decide, so that everyone sees one order."""
    made = [thing(n, member=m, at=5) for n in (10, 9) for m in "ab"]
    assert ids(plan.order(made)) == ids(plan.order(made[::-1])) == ["b.10", "b.9", "a.10", "a.9"]


def test_what_lies_inside_goes_first() -> None:
    """A directory goes after what is in it, though it was recorded later."""
    inner, outer = thing(1, "/d/a/b", kind="file"), thing(2, "/d")
    assert ids(plan.order([inner, outer])) == ["m.1", "m.2"]


def test_a_name_that_only_begins_alike_is_not_inside() -> None:
    """`/data2` is not inside `/data`."""
    assert ids(plan.order([thing(1, "/data2"), thing(2, "/data")])) == ["m.2", "m.1"]


@pytest.mark.parametrize("location", ["server", "/bin/server", "/d/e/server", "/d"])
def test_a_server_goes_before_the_directory_it_runs_in(location: str) -> None:
    """A process goes before the directory that it runs in, whoever made them."""
    server = thing(1, location, kind="popen", member="n", at=1, cwd="/d")
    assert ids(plan.order([server, thing(1, "/d", at=2)])) == ["n.1", "m.1"]


@pytest.mark.parametrize("kind", ["command", "file"])
def test_only_a_directory_contains(kind: str) -> None:
    """What is no directory contains nothing, whatever its location begins with."""
    assert ids(plan.order([thing(1, "/d/x"), thing(2, "/d", kind=kind)])) == ["m.2", "m.1"]


def test_what_has_no_place_hides_nothing() -> None:
    """Something that lies nowhere does not keep the rest from being put in order."""
    made = [thing(1, "/d/x", kind="file"), thing(2, "/d"), thing(3, "sem", kind="semaphore")]
    assert ids(plan.order(made)) == ["m.3", "m.1", "m.2"]


def test_after_outweighs_the_order_of_registration() -> None:
    """`after` puts one behind another, against the order of registration."""
    made = [thing(1), thing(2), thing(3, after=("m.1",))]
    assert ids(plan.order(made)) == ["m.2", "m.1", "m.3"]


def test_after_one_that_is_gone() -> None:
    """Something in `after` that is not there any more holds up nothing."""
    assert ids(plan.order([thing(1), thing(2, after=("m.99",))])) == ["m.2", "m.1"]


def test_what_must_wait_is_left_out() -> None:
    """What must go after something that stays, stays too, and what must go after that."""
    due = [thing(1, "/d"), thing(2), thing(3, after=("m.1",))]
    others = [thing(4, "/d/x", kind="file")]
    assert ids(plan.order(due, others)) == ["m.2"]


def test_what_must_go_before_an_artifact_is_found() -> None:
    """What must go before a given one is found, over several steps."""
    made = [
        thing(1, "/d"),
        thing(2, "/d/e"),
        thing(3, "/d/e/f", after=("m.4",)),
        thing(4),
        thing(5),
    ]
    assert ids(plan.first(made[0], made)) == ["m.2", "m.3", "m.4"]
    assert plan.first(made[4], made) == []


@pytest.mark.parametrize(("one", "other"), [(1, 2), (2, 1)])
def test_first_leaves_out_the_one_itself(one: int, other: int) -> None:
    """None goes before itself, even in a cycle."""
    made = [thing(one, after=(f"m.{other}",)), thing(other, after=(f"m.{one}",))]
    assert ids(plan.first(made[0], made)) == [f"m.{other}"]


def test_a_cycle_is_seen() -> None:
    """Something inside a directory cannot go after it, directly or not."""
    outer, other = thing(1, "/d"), thing(2, after=("m.1",))
    assert plan.makes_cycle(thing(3, "/d/x", after=("m.1",)), [outer])
    assert plan.makes_cycle(thing(3, "/d/x", after=("m.2",)), [outer, other])
    for number in (0, 3):
        assert not plan.makes_cycle(thing(number, "/e", after=("m.2", "m.1")), [outer, other])


def test_a_cycle_does_not_stop_the_plan() -> None:
    """Should there be a cycle all the same, everything is still planned once."""
    made = [thing(1, after=("m.2",)), thing(2, after=("m.1",)), thing(3)]
    assert sorted(ids(plan.order(made))) == ["m.1", "m.2", "m.3"]


def test_a_cycle_is_broken_at_the_newest() -> None:
    """The newest one in a cycle goes first; what only waits for the cycle keeps its place."""
    made = [thing(1, after=("m.2",)), thing(2, after=("m.3",)), thing(3, after=("m.2",))]
    assert ids(plan.order(made)) == ["m.3", "m.2", "m.1"]


def test_two_cycles() -> None:
    """What went first out of one cycle does not go again when another one is broken."""
    made = [thing(n, after=(f"m.{m}",)) for n, m in ((1, 2), (2, 1), (3, 4), (4, 3))]
    assert ids(plan.order(made)) == ["m.4", "m.3", "m.2", "m.1"]


def test_the_same_path_twice() -> None:
    """A path recorded twice is not inside itself."""
    made = [thing(1, "/d"), thing(2, "/d"), thing(3, "/d/x")]
    assert ids(plan.order(made)) == ["m.3", "m.2", "m.1"]


def test_the_root_contains_nothing() -> None:
    """Everything lies in `/`: that is no reason to loop."""
    assert ids(plan.order([thing(1, "/"), thing(2, "/x")])) == ["m.2", "m.1"]


@st.composite
def worlds(draw: st.DrawFn) -> list[Artifact]:
    paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(
        lambda parts: "/" + "/".join(parts)
    )
    made: list[Artifact] = []
    for number in range(draw(st.integers(0, 12))):
        some = st.lists(st.sampled_from(made), max_size=2) if made else st.just([])
        after = tuple(artifact.id for artifact in draw(some))
        kind = draw(st.sampled_from(["directory", "file", "semaphore"]))
        at = draw(st.integers(0, 5))
        new = thing(number, draw(paths), kind=kind, after=after, at=at)
        if not plan.makes_cycle(new, made):
            made.append(new)
    return made


@given(worlds(), st.randoms(use_true_random=False))
def test_a_plan_keeps_every_edge(made: list[Artifact], random: object) -> None:
    """A plan holds each artifact once, and nothing stands before what must go first."""
    ordered = plan.order(made)
    assert sorted(ids(ordered)) == sorted(ids(made))
    place = {artifact.id: index for index, artifact in enumerate(ordered)}
    for outer in made:
        for inner in made:
            inside = outer.kind == "directory" and inner.place.startswith(outer.location + "/")
            if inside or inner.id in outer.after:
                assert place[inner.id] < place[outer.id]


@given(worlds(), st.data())
def test_what_stays_is_never_overtaken(made: list[Artifact], data: st.DataObject) -> None:
    """Whatever is left out of a plan is so for something that must go first and stays."""
    due = [artifact for artifact in made if data.draw(st.booleans())]
    others = [artifact for artifact in made if artifact not in due]
    planned = plan.order(due, others)
    for artifact in due:
        waits = any(other in others for other in plan.first(artifact, made))
        assert (artifact in planned) != waits

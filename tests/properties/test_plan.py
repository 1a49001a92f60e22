"""A plan is an order in which everything can go: a linear extension of what must go first.

What must go first is found here pair by pair, and the order by taking the newest that
can go, again and again: too slow to use, and too simple to be wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from lastout._scopes.records import plan
from lastout._scopes.records.artifact import Artifact

if TYPE_CHECKING:
    from collections.abc import Collection

paths = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(lambda p: "/" + "/".join(p))


@st.composite
def worlds(draw: st.DrawFn) -> list[Artifact]:
    """What several members made, without a cycle, as they would have been refused to make one."""
    made: list[Artifact] = []
    for number in range(draw(st.integers(0, 14))):
        kind = draw(st.sampled_from(["directory", "file", "socket", "popen", "semaphore", "new"]))
        some = draw(st.lists(st.sampled_from(made), max_size=2)) if made else []
        new = Artifact(
            f"{draw(st.sampled_from('mn'))}.{number}",
            kind,
            "a name" if kind in ("popen", "semaphore") else draw(paths),
            after=tuple(one.id for one in some),
            data={"cwd": draw(paths)} if kind == "popen" else {},
            made_ns=draw(st.integers(0, 6)),  # ties: the clock is coarse
        )
        if not cyclic([*made, new]):
            made.append(new)
    return draw(st.permutations(made))


def goes_first(one: Artifact, other: Artifact) -> bool:
    """Whether `one` must be gone before `other` is cleaned."""
    if one.id == other.id:
        return False
    if one.id in other.after:
        return True
    if other.kind != "directory":
        return False
    if one.kind == "popen":  # it runs in a directory
        return f"{one.data['cwd']}/".startswith(other.location + "/")
    at_path = one.kind in ("directory", "file", "socket", "new")  # or of a newer version
    return at_path and one.location.startswith(other.location + "/")


def cyclic(made: Collection[Artifact]) -> bool:
    return len(_one_by_one(made)) < len(made)


def _one_by_one(made: Collection[Artifact]) -> list[Artifact]:
    """The newest that nothing has to go before, again and again, as far as that goes."""
    left = sorted(made, key=lambda one: (one.made_ns, one.member, one.number), reverse=True)
    ordered = []
    while free := [one for one in left if not any(goes_first(other, one) for other in left)]:
        ordered.append(free[0])
        left.remove(free[0])
    return ordered


@given(worlds())
def test_a_plan_is_a_linear_extension(made: list[Artifact]) -> None:
    """Everything is planned once, after all that must go first, and else the newest first."""
    assert plan.order(made) == _one_by_one(made)


@given(worlds(), st.data())
def test_what_has_to_wait_is_left_out(made: list[Artifact], data: st.DataObject) -> None:
    """Where some stay, exactly those go that need not go after one of them, in that order."""
    due = [one for one in made if data.draw(st.booleans())]
    others = [one for one in made if one not in due]
    stays = list(others)
    for one in stays:  # grows meanwhile
        stays += [other for other in due if goes_first(one, other) and other not in stays]
    planned = plan.order(due, others)
    assert set(planned) == set(due) - set(stays)
    for number, one in enumerate(planned):
        assert not any(goes_first(later, one) for later in planned[number:])


@given(worlds(), st.data())
def test_first_is_all_that_must_go_before(made: list[Artifact], data: st.DataObject) -> None:
    """What must go before one is found, over any number of steps."""
    if not made:
        return
    wanted = [data.draw(st.sampled_from(made))]
    for one in wanted:  # grows meanwhile
        wanted += [other for other in made if goes_first(other, one) and other not in wanted]
    assert set(plan.first(wanted[0], made)) == set(wanted[1:])


@given(worlds(), st.data())
def test_a_cycle_is_found_when_it_closes(made: list[Artifact], data: st.DataObject) -> None:
    """Something new is refused exactly if with it there would be no order any more."""
    after = data.draw(st.lists(st.sampled_from(made), max_size=3)) if made else []
    ids = tuple(one.id for one in after)
    new = Artifact(
        "m.99", data.draw(st.sampled_from(["directory", "file"])), data.draw(paths), after=ids
    )
    assert plan.makes_cycle(new, made) == cyclic([*made, new])

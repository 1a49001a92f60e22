"""What lies in a directory is found by its record and by the bytes of its journal alike.

The rule itself is the model: a path is in a directory if it is that one or begins with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from lastout._scopes.records import journal
from lastout._scopes.records.artifact import Artifact
from lastout._scopes.records.containment import lies_in, lies_inside

if TYPE_CHECKING:
    from collections.abc import Iterator

Made = tuple[str, str, dict[str, Any]]  # kind, location, data

# Names that JSON writes in another way, and that begin alike.  Few, so that paths meet.
plain = st.sampled_from(["a", "aa", "\\", "ä", "\udcff", "\n"])
odd = plain | st.sampled_from(['q"', '","cwd":"'])  # those that look like the end of a text


def paths(names: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))


def things(
    names: st.SearchStrategy[str], more: st.SearchStrategy[object]
) -> st.SearchStrategy[list[Made]]:
    kinds = st.sampled_from(["directory", "file", "popen", "callback", "of_a_newer_version"])
    optional = {"cwd": paths(names) | st.none(), "more": more}
    data = st.fixed_dictionaries({}, optional=optional)
    where = paths(names) | names | paths(names).map(lambda path: path[1:])
    return st.lists(st.tuples(kinds, where, data), max_size=3)


def nested(names: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    """Paths and others deep in the data, as in the arguments of a callback."""
    keys = st.sampled_from(["cwd", "argv", "/a"])
    return st.recursive(
        paths(names) | names | st.integers(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2),
        max_leaves=3,
    )


def written(made: list[Made]) -> bytes:
    """A journal of these, of each of which some is said only later."""
    lines = [journal.header("m")]
    for number, (kind, location, data) in enumerate(made, 1):
        lines.append(journal.made(1, number, kind, location, "scope", (), {}))
        lines.append(journal.more(number, data))
    return b"".join(lines)


def is_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")


def are_told(made: list[Made], directory: str) -> bool:
    """Whether the records say that something is in the directory."""
    found = journal.parse("m", written(made)).unresolved()
    assert len(found) == len(made)
    return any(is_in(lies_in(one.location, one.data), directory) for one in found)


def texts(value: object) -> Iterator[str]:
    """All text in a value of JSON, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for one in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from texts(one)


@given(things(plain, st.integers()), paths(plain))
def test_records_and_bytes_agree(made: list[Made], directory: str) -> None:
    """Where paths are locations or working directories, the bytes tell what the records tell.

    Of a thing that runs elsewhere than it lies the bytes tell both.
    """
    both = [*made, *((kind, location, {}) for kind, location, _ in made)]
    found = lies_inside(Artifact("n.1", "directory", directory), written(made))
    assert found == are_told(both, directory)


@given(things(odd, nested(odd)), paths(odd))
def test_the_bytes_miss_nothing(made: list[Made], directory: str) -> None:
    """Whatever else is recorded, they tell of all that the records tell of, and make nothing up.

    But for a text with a quote in it, behind which another one may seem to begin.
    """
    found = lies_inside(Artifact("n.1", "directory", directory), written(made))
    assert found or not are_told(made, directory)
    named = [text for text in texts(made) if is_in(text, directory) or '"/' in text]
    assert named or not found

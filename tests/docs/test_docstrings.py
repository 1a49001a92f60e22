"""The examples in docstrings are true: each module's run in a process of its own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING

import pytest

import lastout

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program


def has_examples(module: str) -> bool:
    """Whether there is any in its source."""
    spec = find_spec(module)
    return spec is not None and spec.origin is not None and ">>>" in Path(spec.origin).read_text()


NAMES = ["lastout", *(module.name for module in walk_packages(lastout.__path__, "lastout."))]
MODULES = sorted(filter(has_examples, NAMES))


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_are_true(module: str, program: Callable[..., Program]) -> None:
    """Every `>>>` line of a module's docstrings gives what stands below it."""
    child = program(
        """
        import doctest, importlib, sys

        if __name__ == "__main__":  # not in a child by spawn or forkserver
            module = importlib.import_module(sys.argv[1])
            for thing in vars(module).values():
                # What is public says that it is of `lastout`, and would be passed over here.
                parts = vars(thing).values() if isinstance(thing, type) else ()
                for one in (thing, *parts):
                    if getattr(one, "__globals__", None) is vars(module):
                        one.__module__ = thing.__module__ = module.__name__
            found = doctest.DocTestFinder().find(module)
            said = module.__doc__ + "".join(test.docstring for test in found)
            assert said.count(">>> ") >= open(module.__file__).read().count(">>> "), "left out"
            raise SystemExit(doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed)
        """,
        args=[module],
    )
    ended = child.end()
    assert ended.status == 0, ended.out + ended.err

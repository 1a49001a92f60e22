"""The examples in docstrings are true: each module's run in a process of its own."""

from __future__ import annotations

from pkgutil import walk_packages
from typing import TYPE_CHECKING

import pytest

import lastout

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Program

MODULES = sorted(
    module.name
    for module in walk_packages(lastout.__path__, "lastout.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("module", ["lastout", *MODULES])
def test_the_examples_of_a_module_are_true(module: str, program: Callable[..., Program]) -> None:
    """Every `>>>` line of a module's docstrings gives what stands below it."""
    child = program(
        """
        import doctest, importlib, sys

        if __name__ == "__main__":  # not in a child by spawn or forkserver
            module = importlib.import_module(sys.argv[1])
            raise SystemExit(doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed)
        """,
        args=[module],
    )
    ended = child.end()
    assert ended.status == 0, ended.out + ended.err

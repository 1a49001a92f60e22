"""A main script that registers inheritable handlers in every form, then raises a family."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from say import say

import lastout

if TYPE_CHECKING:
    from collections.abc import Callable

inheritable = partial(lastout.handler, inherit=True)


@inheritable
def main_level() -> None:
    """At the module level of the main script, which spawned children import too."""
    say("ran", "main_level", os.getpid())


def with_arguments(first: str, /, *, second: str) -> None:
    """A function of the main script, with arguments of both kinds."""
    say("ran", first + second, os.getpid())


def closure_over(name: str) -> Callable[[], None]:
    """A function that no module has by name."""

    def closure() -> None:
        say("ran", name, os.getpid())

    return closure


class Resource:
    """Something with a method to close it."""

    def close(self) -> None:
        """Say so."""
        say("ran", "method", os.getpid())


if __name__ == "__main__":
    order, packages, kinds = json.loads(sys.argv[1])

    import family

    if order == "package first":
        family.import_in(order, packages)
    inheritable(args=("module",))(family.ran)
    inheritable(with_arguments, args=("argu",), kwargs={"second": "ments"})
    inheritable(lambda: say("ran", "lambda", os.getpid()))
    inheritable(closure_over("closure"))
    inheritable(Resource().close)
    inheritable(partial(family.ran, "partial"))
    for _ in range(2):
        inheritable(family.ran, args=("twice",))
    if order == "lastout first":
        family.import_in(order, packages)
    family.live(0, kinds)

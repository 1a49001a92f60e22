"""Completion in the shell, by argcomplete: it has one for each shell, and knows live names.

The other well-kept one, shtab, writes scripts that need no Python when TAB is
pressed; but these know no scopes, and there are none for fish.

Tested by: tests/cli/test_completion.py
"""

from __future__ import annotations

from .._platform import interpreter_has
from ..backends.local import LocalBackend
from ..errors import LastoutError, UsageError
from .output import printing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def print_script(options: Namespace) -> int:
    """Print the script by which a shell completes; returns the exit status.

    Raises:
        UsageError: argcomplete is not installed.
    """
    if not interpreter_has("argcomplete"):
        raise UsageError("this needs argcomplete: python -m pip install 'lastout[cli]'")
    from argcomplete.shell_integration import shellcode

    with printing() as out:
        print(shellcode(["lastout"], shell=options.shell), end="", file=out)
    return 0


def answer_shell(parser: ArgumentParser) -> None:
    """Answer a shell that asks for completions, and end."""
    if interpreter_has("argcomplete"):
        import argcomplete

        argcomplete.autocomplete(parser)


def scope_names(parsed_args: Namespace, **_: object) -> list[str]:
    """The names of the existing scopes."""
    try:
        return LocalBackend(getattr(parsed_args, "root", None)).scopes()
    except LastoutError:
        return []  # a wrong root is told when the command is run

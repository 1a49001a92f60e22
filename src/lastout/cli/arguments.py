"""The arguments of the command line, and the help that explains them.

Tested by: tests/cli/test_list_show.py, tests/cli/test_run.py
"""

from __future__ import annotations

from argparse import (
    REMAINDER,
    Action,
    ArgumentParser,
    ArgumentTypeError,
    RawDescriptionHelpFormatter,
)
from math import isfinite
from textwrap import dedent

from .output import printing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from typing import Any, Final

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def make_parser() -> ArgumentParser:
    """The parser of `lastout`."""
    top = ArgumentParser(
        prog="lastout",
        formatter_class=RawDescriptionHelpFormatter,
        description=dedent(
            """\
            Run programs in scopes, and look at and clean the scopes there are.

            A scope is a set of processes that share things: directories, sockets,
            shared memory, servers. Each thing is recorded before it exists, and the
            last process out removes it, or the next one to come if all were killed."""
        ),
        epilog=dedent(
            """\
            exit status:
              0  all is well; for reap: nothing is left of the dead
              1  reap: something could not be cleaned; with --dry-run: there is something
              2  wrong use, no such scope, a root that cannot be used, or nowhere to print
              run has the status of its program, see `lastout run --help`

            environment:
              LASTOUT_ROOT   the directory that scopes lie in
              LASTOUT_SCOPE  set by run: the scope of the program
              NO_COLOR       tables without colours
              COLUMNS        how wide tables are

            examples:
              lastout run -- python train.py      leave nothing behind, whatever happens
              lastout list                        which scopes there are
              lastout reap                        clean up after a crash
            """
        ),
    )
    top.add_argument("--version", action=_VersionAction, nargs=0, help="show the version, and end")
    actions = top.add_subparsers(dest="action", required=True, metavar="COMMAND")
    _add_run(actions)
    _add_looks(actions)
    _add_reap(actions)
    _add_completion(actions)
    return top


def parse_arguments(top: ArgumentParser, argv: Sequence[str] | None) -> Namespace:
    """Parse the arguments; ends the program with status 2 if they are wrong."""
    options = top.parse_args(argv)
    if options.action == "run":
        if options.command[:1] == ["--"]:
            del options.command[0]
        if not options.command:
            options.refuse("there is no COMMAND to run")
    if options.action == "show" and options.json and options.timeline:
        options.refuse("--json and --timeline are two ways to show it: choose one")
    return options


def _add_run(actions: Any) -> None:
    run = _add(
        actions,
        "run",
        "run a program in a scope, and clean up after it",
        """\
        Run COMMAND in a scope, wait for it, and end all that it left running: SIGTERM,
        the grace, SIGKILL; daemons and orphans too. Then leave the scope, whose last
        member cleans what is recorded in it. The program finds the scope in
        LASTOUT_SCOPE; it and all that inherit its open files are members.

        Signals are passed on to COMMAND, standard input and output are its own, and at
        a terminal Ctrl-C and Ctrl-Z do what they do without lastout. A second Ctrl-C,
        while things are being ended, spares the grace.

        If lastout run itself is killed, the next `lastout reap` ends COMMAND, and
        cleans.""",
        """\
        exit status:
          of COMMAND, or 128 + N if signal N ended it
          124  it was not done within --timeout
          125  lastout could not do its part: the scope cannot be used
          126  COMMAND cannot be executed
          127  there is no such COMMAND
          2    wrong use

        examples:
          lastout run -- pytest -x
          lastout run --timeout 30m --grace 10 -- ./nightly.sh
          lastout run --name dev -- python server.py   two of that name share a scope
        """,
    )
    run.add_argument("--name", help="the scope to be in; without, one that nobody else is in")
    run.add_argument(
        "--guardian",
        action="store_true",
        help="have a small process that cleans at once if all are killed",
    )
    run.add_argument(
        "--timeout",
        type=parse_seconds,
        metavar="TIME",
        help="end COMMAND after this time: seconds, or with s, m, h or d behind the number",
    )
    run.add_argument(
        "--grace",
        type=parse_seconds,
        default=5.0,
        metavar="TIME",
        help="the time between SIGTERM and SIGKILL (default: 5)",
    )
    run.add_argument(
        "--timeline",
        metavar="FILE",
        help="draw what happened, when all is over, into FILE, an .svg or .html",
    )
    run.add_argument("command", nargs=REMAINDER, help="the program, and its arguments")
    run.usage = "lastout run [OPTION ...] [--] COMMAND [ARGUMENT ...]"
    run.set_defaults(refuse=run.error)


def _add_looks(actions: Any) -> None:
    looks = """\
        Looking joins nothing, changes nothing and keeps nothing alive. It is a table on
        a terminal, and plain text elsewhere."""
    _add(
        actions,
        "list",
        "show which scopes there are",
        looks,
        """\
        examples:
          lastout list
          lastout list --json | jq -r '.scopes[].name'
        """,
        json=True,
    )
    show = _add(
        actions,
        "show",
        "show who is in a scope, who keeps it, and what it would clean, in that order",
        looks,
        """\
        examples:
          lastout show dev
          lastout show dev --json | jq '.scopes[].members[] | select(.keeps).pid'
          lastout show dev --timeline dev.html
        """,
        json=True,
    )
    show.set_defaults(refuse=show.error)
    _name(show, "the scope")
    show.add_argument(
        "--timeline",
        metavar="FILE",
        help="draw what happened so far, instead, into FILE, an .svg or .html",
    )
    watch = _add(
        actions,
        "watch",
        "show a scope, or all, again whenever something happens",
        f"        Ctrl-C ends it.\n\n{looks}",
        """\
        examples:
          lastout watch
          lastout watch dev --json | jq '.scopes[].artifacts | length'
        """,
        json=True,
    )
    _name(watch, "the scope (default: all)", nargs="?")


def _add_reap(actions: Any) -> None:
    reap = _add(
        actions,
        "reap",
        "clean up after processes that are dead",
        """\
        Clean what the dead have left, in order. What a living process may use is not
        touched: a scope in use stays as it is. A scope that is not there is clean.""",
        """\
        exit status:
          0  nothing is left of the dead
          1  something could not be cleaned; it stays recorded, and the next one tries
             again. With --dry-run: there is something to clean
          2  wrong use, or a root that cannot be used

        examples:
          lastout reap
          lastout reap --dry-run || echo "somebody was killed"
        """,
        json=True,
    )
    _name(reap, "the scope (default: all)", nargs="?")
    reap.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and do nothing"
    )


def _add_completion(actions: Any) -> None:
    completion = _add(
        actions,
        "completion",
        "print a script that teaches a shell to complete lastout's arguments",
        "It needs argcomplete: python -m pip install 'lastout[cli]'.",
        """\
        examples:
          eval "$(lastout completion bash)"              in ~/.bashrc
          eval "$(lastout completion zsh)"               in ~/.zshrc, after compinit
          lastout completion fish > ~/.config/fish/completions/lastout.fish
        """,
        root=False,
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))


def _add(
    actions: Any,
    name: str,
    brief: str,
    description: str,
    epilog: str,
    json: bool = False,
    root: bool = True,
) -> ArgumentParser:
    added: ArgumentParser = actions.add_parser(
        name,
        help=brief,
        formatter_class=RawDescriptionHelpFormatter,
        description=f"{brief.capitalize()}.\n\n{dedent(description)}",
        epilog=dedent(epilog),
    )
    if root:
        added.add_argument(
            "--root",
            metavar="DIR",
            help="the directory that scopes lie in (default: $LASTOUT_ROOT, or the user's own)",
        )
    if json:
        added.add_argument("--json", action="store_true", help="print JSON, for programs")
    return added


def _name(to: ArgumentParser, text: str, nargs: str | None = None) -> None:
    action: Any = to.add_argument("name", metavar="NAME", help=text, nargs=nargs)
    action.completer = _names


def parse_seconds(text: str) -> float:
    """A time such as `90`, `1.5m` or `2h`, in seconds."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        value = float(number) * _UNITS[unit]
    except ValueError:
        value = -1.0
    if not (isfinite(value) and value >= 0):
        raise ArgumentTypeError(f"{text!r} is no time: say 90, 90s, 1.5m or 2h")
    return value


def _names(**asked: Any) -> list[str]:
    from .completion import scope_names

    return scope_names(**asked)


class _VersionAction(Action):
    """Finds the version only where it is asked for."""

    def __call__(self, parser: ArgumentParser, *_: object, **__: object) -> None:
        from importlib.metadata import version

        with printing() as out:
            print(f"lastout {version('lastout')}", file=out)
        parser.exit()

"""The command `lastout`: its arguments, and which module does the work.

Tested by: tests/cli/test_list_show.py, tests/cli/test_output.py
"""

from __future__ import annotations

import os
import signal

from ..errors import LastoutError
from .arguments import make_parser, parse_arguments
from .output import flush, print_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from typing import Final

TROUBLE: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, that of this process for `None`; its exit status."""
    arguments = make_parser()
    if "_ARGCOMPLETE" in os.environ:
        from .completion import answer_shell

        answer_shell(arguments)
    try:
        try:
            return _work(parse_arguments(arguments, argv))
        finally:
            flush()  # only this tells whether the output is read, or has room
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except LastoutError as error:
        print_error(str(error))
        return TROUBLE


def _work(options: Namespace) -> int:
    if options.action == "run":
        from .run.run_program import run_program

        return run_program(options)
    if options.action == "reap":
        from .reap import reap_scopes

        return reap_scopes(options)
    if options.action == "completion":
        from .completion import print_script

        return print_script(options)
    if options.action == "watch":
        from .watch import watch_scopes

        return watch_scopes(options)
    from .list_show import list_or_show

    return list_or_show(options)

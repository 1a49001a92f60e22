"""The command `lastout`: its arguments, and which room does the work."""

from __future__ import annotations

import os
import signal

from ..errors import LastoutError
from .arguments import parse, parser
from .output import flush, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
    from typing import Final

TROUBLE: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, that of this process for `None`; its exit status."""
    arguments = parser()
    if "_ARGCOMPLETE" in os.environ:
        from .completion import complete

        complete(arguments)
    try:
        try:
            return _work(parse(arguments, argv))
        finally:
            flush()  # whether it is read, or has room, is known only now
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except LastoutError as error:
        tell(str(error))
        return TROUBLE


def _work(options: Namespace) -> int:
    if options.action == "run":
        from .run import run

        return run(options)
    if options.action == "reap":
        from .reaping import reap

        return reap(options)
    if options.action == "completion":
        from .completion import script

        return script(options)
    if options.action == "watch":
        from .watching import watch

        return watch(options)
    from .looking import look

    return look(options)

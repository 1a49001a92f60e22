"""Compress and hash every file of a directory tree, with workers that leave nothing behind.

    python examples/compress_tree.py                        the standard library
    python examples/compress_tree.py src --output packed    packed/*.gz and SHA256SUMS
    python examples/compress_tree.py --kill 2               SIGKILL two workers in the middle
    python examples/compress_tree.py --start-method spawn --package multiprocess --terminate

The job runs in a scope of lastout: its directory and its shared memory go with the
last process, each worker's scratch directory goes with that worker, killed or not.
Each worker has a connection to the parent and counters too, and gives them back by
exit handlers.  The parent sees to it that all this was done.

Exit status: 0 all is well; 1 something is left, or the job was not finished;
2 the options ask for what cannot be done; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import sysconfig
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treepool.account import Account
    from treepool.job import Job

# Spawned workers import this script too: what only the parent needs is
# imported where it is used.


class Refused(Exception):
    """The options ask for what cannot be done; the text says why, and what to do."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("tree", nargs="?", help="the directory; default: the standard library")
    parser.add_argument("--output", metavar="DIR", help="keep the packed files in a new directory")
    parser.add_argument("--workers", type=_count, default=_processors(), metavar="N")
    parser.add_argument("--limit", type=_count, metavar="N", help="only the first N files")
    parser.add_argument("--start-method", choices=["fork", "forkserver", "spawn"], default="fork")
    parser.add_argument(
        "--package", choices=["multiprocessing", "multiprocess"], default="multiprocessing"
    )
    parser.add_argument(
        "--terminate", action="store_true", help="end by Pool.terminate(), which sends SIGTERM"
    )
    parser.add_argument(
        "--kill", type=_count, default=0, metavar="N", help="SIGKILL N workers, each at a file"
    )
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare(options: argparse.Namespace) -> tuple[Job, dict[str, str]]:
    """The job, and what of the tree could not be looked at, with why.

    Raises:
        Refused: it cannot be done.
    """
    from treepool import files
    from treepool.job import Job

    try:
        methods = import_module(options.package).get_all_start_methods()
    except ModuleNotFoundError as error:
        raise Refused(f"{error}: install it, or leave --package out") from error
    if options.start_method not in methods:
        raise Refused(f"this system cannot {options.start_method}; it has {', '.join(methods)}")
    library = sysconfig.get_path("stdlib")
    tree = os.path.realpath(options.tree or library)
    without = [] if options.tree else [f"{tree}/site-packages", f"{tree}/dist-packages"]
    if options.output is not None:
        without.append(os.path.realpath(options.output))
    try:
        found, problems = files.find(tree, without)
    except files.Unreadable as error:
        raise Refused(f"{tree} cannot be read: {error}") from error
    found = found[: options.limit]
    if not found:
        raise Refused(f"there is no file to pack in {tree}")
    if options.kill > len(found):
        raise Refused(f"--kill {options.kill}: there are only {len(found)} files to be killed at")
    return Job(
        tree=tree,
        files=found,
        output=None if options.output is None else _new_directory(options.output),
        workers=options.workers,
        package=options.package,
        start_method=options.start_method,
        terminate=options.terminate,
        kill=options.kill,
    ), problems


def _new_directory(path: str) -> str:
    """Make a directory, or take one that is empty."""
    try:
        os.makedirs(path, exist_ok=True)
        if os.listdir(path):
            raise Refused(f"{path} is not empty: name a new directory")
    except OSError as error:
        raise Refused(f"{path} cannot be made: {error.strerror}") from error
    return os.path.realpath(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the options say; returns the exit status."""
    options = parse(arguments)
    try:
        from lastout import LastoutError
        from treepool import job, show
    except ModuleNotFoundError as error:
        return _refuse(f"{error}: run python -m pip install '.[examples]' in the repository")
    try:
        work, problems = prepare(options)
        began = monotonic()
        account = job.run(work, show.progress)
    except (Refused, LastoutError, OSError) as error:
        return _refuse(str(error))
    problems |= {work.files[n].path: why for n, why in account.problems().items()}
    show.account(account, work, problems, monotonic() - began)
    return _status(account)


def _status(account: Account) -> int:
    if account.broken == "interrupted" and not account.left:
        return 128 + signal.SIGINT
    return 1 if account.left or account.broken else 0


def _refuse(why: str) -> int:
    print(f"{os.path.basename(sys.argv[0])}: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())

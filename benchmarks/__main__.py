"""The command line of the benchmarks: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from importlib import import_module

from .measure import HEADING, Line

SUBJECTS = ("importing", "registry", "forking", "recording", "scopes", "reaping")


def main() -> int:
    """Measure what is asked for; returns 1 if a budget was missed, but never for a quick look."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--quick", action="store_true", help="a first look, in a few seconds")
    options = parser.parse_args()
    unknown = set(options.subjects) - set(SUBJECTS)
    if unknown:
        parser.error(f"no such subject: {', '.join(sorted(unknown))}; there are {SUBJECTS}")
    if len(options.subjects) == 1:
        return measure(options.subjects[0], options.quick)
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.system()}")
    return max([_apart(name, options.quick) for name in options.subjects or SUBJECTS])


def _apart(subject: str, quick: bool) -> int:
    """Measure in a fresh interpreter: what one subject loads must not weigh on the next."""
    sys.stdout.flush()
    command = [sys.executable, "-m", __package__ or "benchmarks", subject]
    return subprocess.run(command + ["--quick"] * quick, check=False).returncode


def measure(subject: str, quick: bool) -> int:
    """Print the lines of one subject as they come."""
    print(f"\n{subject}\n{HEADING}", flush=True)
    lines: list[Line] = []
    for line in import_module(f"{__package__}.{subject}").lines(quick):
        print(line, flush=True)
        lines.append(line)
    return int(any(line.missed for line in lines) and not quick)


if __name__ == "__main__":
    sys.exit(main())

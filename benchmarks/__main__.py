"""The command line of the benchmarks: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from time import perf_counter

from .machine import describe
from .measure import HEADING, Line

SUBJECTS = (
    "importing",
    "registry",
    "forking",
    "recording",
    "scopes",
    "directories",
    "reaping",
    "cleanups",
    "guarding",
    "signalling",
    "whole",
    "anatomy",
)


def main() -> int:
    """Measure what is asked for; returns 1 if a budget was missed, but never for a quick look."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--quick", action="store_true", help="a first look, in less than a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    options = parser.parse_args()
    unknown = set(options.subjects) - set(SUBJECTS)
    if unknown:
        parser.error(f"no such subject: {', '.join(sorted(unknown))}; there are {SUBJECTS}")
    if len(options.subjects) == 1:
        return measure(options.subjects[0], options.quick, options.json)
    return measure_all(options.subjects or list(SUBJECTS), options.quick, options.json)


def measure_all(subjects: list[str], quick: bool, results: Path | None) -> int:
    """Measure each subject in a fresh interpreter: what one loads must not weigh on the next."""
    machine = describe()
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    status = 0
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="lastout-benchmark-") as place:
        for subject in subjects:
            file = Path(place, subject)
            sys.stdout.flush()
            command = [sys.executable, "-m", __package__ or "benchmarks", subject]
            ended = subprocess.run(
                [*command, "--json", str(file), *["--quick"] * quick], check=False
            )
            status = max(status, abs(ended.returncode))
            if file.exists():  # it did not fail before
                found.update(json.loads(file.read_text())["subjects"])
    if results is not None:
        _write(results, quick, machine, found)
    return status


def measure(subject: str, quick: bool, results: Path | None) -> int:
    """Print the lines of one subject as they come."""
    began = perf_counter()
    print(f"\n{subject}\n{HEADING}", flush=True)
    lines: list[Line] = []
    for line in import_module(f"{__package__}.{subject}").lines(quick):
        print(line, flush=True)
        lines.append(line)
    if results is not None:
        seconds = perf_counter() - began
        found = {"seconds": seconds, "lines": [line.facts() for line in lines]}
        _write(results, quick, describe(), {subject: found})
    return int(any(line.missed for line in lines) and not quick)


def _write(file: Path, quick: bool, machine: dict[str, str], subjects: dict[str, object]) -> None:
    whole = {
        "measured": datetime.now(UTC).isoformat(timespec="minutes"),
        "quick": quick,
        "machine": machine,
        "subjects": subjects,
    }
    file.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())

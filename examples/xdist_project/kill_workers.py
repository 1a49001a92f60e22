"""Run the tests again and again, kill random workers by SIGKILL, and see what is left.

python kill_workers.py [--runs 20] [--workers 3] [--seed 1]

Each run has to show: all tests used one and the same server, each server that was
started was stopped once, the shared fixture was torn down once, and no process,
directory or scope is left.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
LONGEST = 120.0  # seconds for one run


class Run(NamedTuple):
    """What a run of the tests has shown.

    Attributes:
        killed: how many workers were killed.
        counts: what was noted, how often, for how many processes.
        problems: what is not as it should be.
        output: what pytest printed.
    """

    killed: int
    counts: dict[str, int]
    problems: list[str]
    output: str


def run_once(workers: int, chance: random.Random) -> Run:
    """Run the tests once, and kill some workers in the middle."""
    with tempfile.TemporaryDirectory() as place:
        notes, root, temporary = (Path(place, name) for name in ("notes", "root", "tmp"))
        notes.touch()
        temporary.mkdir()
        env = {
            **os.environ,
            "NOTES": str(notes),
            "LASTOUT_ROOT": str(root),
            "TMPDIR": str(temporary),
        }
        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "lastout.pytest_plugin"]
        options = ["-n", str(workers), "--max-worker-restart=100", "-p", "no:cacheprovider"]
        with open(Path(place, "output"), "w+") as output:
            command = [*pytest, *options, f"--basetemp={place}/pytest"]
            process = subprocess.Popen(command, cwd=HERE, env=env, stdout=output, stderr=output)
            killed = kill_some(process, notes, chance)
            status = process.wait(LONGEST)
            output.seek(0)
            return judge(notes, root, temporary, killed, status, output.read())


def kill_some(process: subprocess.Popen[bytes], notes: Path, chance: random.Random) -> int:
    """Kill up to four workers at random moments; how many it hit."""
    killed: set[int] = set()
    for _ in range(chance.randint(1, 4)):
        if find_workers(process, notes):  # else it would kill before there are any
            time.sleep(chance.uniform(0.0, 1.0))
        living = find_workers(process, notes)
        if living:
            victim = chance.choice(living)
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
    return len(killed)


def find_workers(process: subprocess.Popen[bytes], notes: Path) -> list[int]:
    """The workers that live; waits for one, if need be, until the run has ended."""
    while process.poll() is None:
        living = [pid for pid in pids(notes, "worker") if is_running(pid)]
        if living:
            return living
        time.sleep(0.01)
    return []


def judge(notes: Path, root: Path, temporary: Path, killed: int, status: int, output: str) -> Run:
    """Compare what was noted and what is left with what should be."""
    words = ("used", "started", "stopped", "torn-down")
    noted = {word: pids(notes, word) for word in words}
    problems = []
    if status not in (0, 1):
        problems.append(f"pytest ended with {status}")
    if len(set(noted["used"])) != 1:
        problems.append(f"the tests used {len(set(noted['used']))} servers")
    if Counter(noted["started"]) != Counter(noted["stopped"]):
        problems.append(f"started {noted['started']}, stopped {noted['stopped']}")
    if len(noted["torn-down"]) != 1 or set(noted["torn-down"]) != set(noted["used"]):
        problems.append(f"torn down: {noted['torn-down']}")
    ours = {*noted["started"], *pids(notes, "worker")}
    problems += [f"the process {pid} still runs" for pid in ours if is_running(pid)]
    for directory in (root, temporary):
        if directory.exists():
            problems += [f"left: {path}" for path in directory.iterdir()]
    counts = {word: len(set(found)) for word, found in noted.items()}
    return Run(killed, counts, problems, output)


def pids(notes: Path, word: str) -> list[int]:
    """The numbers behind this word, in the notes."""
    lines = [line.split() for line in notes.read_text().splitlines()]
    return [int(number) for first, number in lines if first == word]


def is_running(pid: int) -> bool:
    """Whether there is such a process, not dead yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def main() -> int:
    """Storm, and say what happened in each run."""
    parser = argparse.ArgumentParser(description="Run the tests, and kill random workers.")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    args = parser.parse_args()
    print("run  seed    killed  servers  used  torn down  left")
    wrong = 0
    for number in range(args.runs):
        seed = args.seed + number
        run = run_once(args.workers, random.Random(seed))
        counts = run.counts
        shown = f"{run.killed:6}  {counts['started']:7}  {counts['used']:4}"
        print(
            f"{number + 1:3}  {seed:<6}  {shown}  {counts['torn-down']:9}"
            f"  {'; '.join(run.problems) or 'nothing'}"
        )
        if run.problems:
            wrong += 1
            print(run.output)
    print(f"{args.runs - wrong} of {args.runs} runs as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

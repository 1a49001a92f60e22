"""Change lastout in one place at a time, in a copy, and expect a test to fail.

python -m mutation [NAME...]     only these modules, of those in tests/mutation/targets.py
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from .explained import explained
from .mutants import mutants_of
from .running import PROJECT, Copy, Limits
from .targets import TARGETS

if TYPE_CHECKING:
    from .mutants import Mutant
    from .targets import Target

_PATIENCE = 5  # times what they use unchanged
_AT_LEAST = Limits(5.0, 30.0)
_UNCHANGED = Limits(300.0, 900.0)
_ENDS = ("killed", "timed out", "explained", "SURVIVED")


class Trial:
    """Shows the mutants of one module to its tests."""

    def __init__(self, target: Target, copy: Copy) -> None:
        self._target = target
        self._copy = copy
        self._source = (PROJECT / "src" / "lastout" / target.file).read_text()
        self._known = explained().get(target.file, set())
        self._limits: dict[tuple[str, ...], Limits] = {}

    def run(self) -> Counter[str]:
        """Try them all; how many of them came to which end."""
        ends: Counter[str] = Counter()
        for mutant in mutants_of(self._source):
            end = self._end(mutant)
            ends[end] += 1
            if end == "SURVIVED":
                print(f"{self._target.file}:{mutant.line}", flush=True)
                print(f"- {mutant.old}\n+ {mutant.new}", flush=True)
        self._copy.write(self._target.file, self._source)
        return ends

    def _end(self, mutant: Mutant) -> str:
        is_known = (mutant.old, mutant.new) in self._known
        for tests in (self._target.tests,) if is_known else (self._target.tests, self._target.more):
            limit = self._limit(tests)
            self._copy.write(self._target.file, mutant.source)
            ran = self._copy.run(tests, limit)
            if not ran.passed:
                return "timed out" if ran.overran else "killed"
        return "explained" if is_known else "SURVIVED"

    def _limit(self, tests: tuple[str, ...]) -> Limits:
        """Where they run for ever, with a mutant."""
        if tests not in self._limits:
            self._copy.write(self._target.file, self._source)
            unchanged = self._copy.run(tests, _UNCHANGED)
            assert unchanged.passed, f"they fail unchanged:\n{unchanged.printed}"
            pairs = zip(_AT_LEAST, unchanged.took, strict=True)
            self._limits[tests] = Limits(*(least + _PATIENCE * took for least, took in pairs))
        return self._limits[tests]


def main(names: list[str]) -> int:
    """Try all modules, or those that are named; how many survivors nobody has explained."""
    unknown = set(names) - {target.name for target in TARGETS}
    if unknown:
        sys.exit(f"no such modules: {', '.join(sorted(unknown))}")
    unexplained = 0
    with tempfile.TemporaryDirectory(prefix="m-") as directory:
        copy = Copy(Path(directory))
        for target in TARGETS:
            if names and target.name not in names:
                continue
            ends = Trial(target, copy).run()
            unexplained += ends["SURVIVED"]
            counts = ", ".join(f"{ends[end]} {end}" for end in _ENDS)
            print(f"{target.file}: {ends.total()} mutants, {counts}", flush=True)
    return unexplained


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))

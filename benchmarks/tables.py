"""Tables of the results, for the documentation: `python -m benchmarks.tables results.json FILE`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .measure import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = "| what | lastout | rival | its | ratio | budget |\n|---|---|---|---|---|---|"


def main() -> int:
    """Write all tables to one file of Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("results", type=Path, help="made by `python -m benchmarks --json`")
    parser.add_argument("file", type=Path, help="where the tables go")
    options = parser.parse_args()
    results = json.loads(options.results.read_text())
    options.file.write_text("\n".join(pages(results)) + "\n")
    return 0


def pages(results: dict[str, Any]) -> Iterator[str]:
    """The machine, then a table for each subject."""
    quick = ", by a quick look only" if results["quick"] else ""
    yield f"Measured {results['measured'][:10]}{quick}, on:\n"
    for name, value in results["machine"].items():
        yield f"- {name}: {value}"
    for subject, found in results["subjects"].items():
        yield f"\n### {subject.capitalize()}\n\n{HEAD}"
        yield from (f"| {' | '.join(cells(line))} |" for line in found["lines"])


def cells(line: dict[str, Any]) -> list[str]:
    """What stands in the row of one line."""
    title = line["what"].replace("{}", f"{line['size']:,}" if line["size"] else "")
    ours, its = line["ours"]["median"], line["its"]["median"]
    ratio = f"{ours / its:.3g} x" if its > 0 else ""
    budget = ""
    if "limits" in line:
        verdict = "**missed**" if line["used"] > 1 else "held"
        budget = f"{line['limits'].replace('<=', 'at most')}: {verdict}"
    return [title, spread(line["ours"]), line["rival"], spread(line["its"]), ratio, budget]


def spread(seconds: dict[str, float]) -> str:
    """A median, and its quartiles in brackets."""
    if "low" not in seconds:
        return in_words(seconds["median"])
    low, high = in_words(seconds["low"]), in_words(seconds["high"])
    return f"{in_words(seconds['median'])} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main())

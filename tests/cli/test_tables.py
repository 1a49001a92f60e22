"""Tables: ages, and streams that are no files."""

from __future__ import annotations

import io

import pytest

from lastout.cli.tables import format_age, print_tables


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (0.4, "0s"), (59.0, "59s"), (60.0, "1m"), (7200.0, "2h"), (172800.0, "2d")],
)
def test_an_age_is_told_in_the_biggest_unit_that_it_fills(seconds: float | None, text: str) -> None:
    """An age is told in the biggest unit that it fills."""
    assert format_age(seconds) == text


def test_any_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no stream of the system's is written to as well."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    print_tables(["one", "two\x1b"])
    assert stream.getvalue() == "one\n\ntwo\\x1b\n"

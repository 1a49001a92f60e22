"""The package on docs/how-to/kinds.md works as it stands there."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lastout.kinds import Kind
from support.packages import install
from support.program import IMPORTED_FROM

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from support import Program

PAGE = (Path(__file__).parents[2] / "docs/how-to/kinds.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_package_of_the_page(tmp_path: Path, program: Callable[..., Program]) -> None:
    """Its class, found by its entry point, cleans what a killed member made."""
    module, script = blocks("py")
    [project], [said] = blocks("toml"), blocks("text")
    kinds = tomllib.loads(project)["project"]["entry-points"]["lastout.kinds"]
    site = install(tmp_path / "site", "sqlite-tables", kinds)
    (site / "sqlite_tables.py").write_text(module)
    child = program(script, env={"PYTHONPATH": f"{site}{os.pathsep}{IMPORTED_FROM}"})
    ended = child.end()
    assert re.fullmatch(re.escape(said).replace(r"\.\.\.", ".*"), ended.out), ended


def test_the_class_of_the_page_takes_any_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text, bytes and paths name the same table, and so does a path that leads over a link."""
    [module] = [block for block in blocks("py") if "class SqliteTableKind" in block]
    names: dict[str, Any] = {}
    exec(module, names)
    kind = names["SqliteTableKind"]()
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = "link/orders.db#open"
    said = [text, text.encode(), Path(text), f"{tmp_path}/orders.db#open"]
    assert {kind.adopt(one).location for one in said} == {f"{tmp_path.resolve()}/orders.db#open"}


def test_the_page_names_all_that_a_kind_can_say() -> None:
    """Each flag and each method of the base class stands on the page."""
    table = PAGE.partition("## What else it can say")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| `(\w+)", table, re.MULTILINE))
    asked = {name for name in vars(Kind) if not name.startswith("_")}
    assert asked - named == {"clean"}

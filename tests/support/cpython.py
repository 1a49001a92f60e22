"""CPython's own tests of `atexit`, read from the running interpreter and turned to lastout.

    test/test_atexit.py, test/_test_atexit.py  -- aimed_at_lastout -->  source  -- main -->  result

The source is never copied into this repository: it is read from the `test`
package of whichever interpreter runs, changed in memory, and run in a process
of its own, because it clears every exit handler there is.

As a program (`python cpython.py FILE CLASS.METHOD`) it runs one test and exits
with 0 for a pass, 1 for a failure and `SKIPPED` for a skip.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import tempfile
import types
import unittest
from importlib.util import find_spec
from pathlib import Path

FILES = ("_test_atexit.py", "test_atexit.py")
SKIPPED = 5

# Isolated children (`-I`, which script_helper adds) and subinterpreters see
# neither PYTHONPATH nor our sys.path, so each piece of code finds lastout by
# itself.  An environment variable, because a path could hold a quote or a brace.
WHERE = "LASTOUT_COMPAT_PATH"
_FIND = f"import os, sys; sys.path.insert(0, os.environ['{WHERE}']); "


def folder() -> Path | None:
    """Where this interpreter keeps its own tests, or `None` if it was shipped without."""
    spec = find_spec("test")
    for place in (spec and spec.submodule_search_locations) or ():
        if all((Path(place) / name).is_file() for name in FILES):
            return Path(place)
    return None


def tests_in(path: Path) -> list[str]:
    """`Class.method` of every test in a file, in the file's order."""
    return [
        f"{case.name}.{method.name}"
        for case in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(case, ast.ClassDef)
        for method in case.body
        if isinstance(method, ast.FunctionDef) and method.name.startswith("test")
    ]


def aimed_at_lastout(source: str) -> str:
    """The source with every `atexit` module in it, in strings of code too, made lastout."""

    def imported(match: re.Match[str]) -> str:
        return f"{match[1]}{_FIND}import lastout as {match[2] or 'atexit'}"

    source = re.sub(r"(?m)^([ \t]*)import atexit(?: as (\w+))?[ \t]*$", imported, source)
    return re.sub(r"""sys\.modules\[(['"])atexit\1\]""", r"sys.modules[\1lastout\1]", source)


def main(file: str, name: str) -> int:
    """Run one test of the given file against lastout; returns the exit status."""
    place = folder()
    assert place is not None
    with tempfile.TemporaryDirectory() as copies:
        for each in FILES:
            text = aimed_at_lastout((place / each).read_text(encoding="utf-8"))
            # test_atexit.py starts _test_atexit.py as a script of its own.
            text = re.sub(r'support\.findfile\("(\w+\.py)"\)', rf"r'{copies}/\1'", text)
            (Path(copies) / each).write_text(text, encoding="utf-8")
        module = types.ModuleType("cpython_tests_of_atexit")
        text = (Path(copies) / file).read_text(encoding="utf-8")
        exec(compile(text, str(place / file), "exec"), module.__dict__)
        if module.atexit.__name__ != "lastout":
            raise AssertionError("the test would have run against something else than lastout")
        suite = unittest.defaultTestLoader.loadTestsFromName(name, module)
        result = unittest.TextTestRunner(verbosity=2).run(suite)
    if result.skipped:
        return SKIPPED
    return 0 if result.wasSuccessful() and result.testsRun == 1 else 1


if __name__ == "__main__":
    import lastout

    os.environ.setdefault(WHERE, str(Path(lastout.__path__[0]).parent))
    sys.exit(main(sys.argv[1], sys.argv[2]))

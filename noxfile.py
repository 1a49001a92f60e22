"""What is run on lastout, each in an environment of its own: `nox -l` lists it.

Tools are pinned, so that a new release of one of them breaks nothing overnight.
Pythons are found on PATH; with pyenv, name them in PYENV_VERSION (as `.ci/run` does).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint", "typing", "docs", "package"]
nox.options.reuse_existing_virtualenvs = False

PYTHONS = ["3.11", "3.12", "3.13"]
SOURCES = ["src", "tests", "docs/conf.py", "noxfile.py"]
RUFF = "ruff==0.17.6"
IMPORT_LINTER = "import-linter==2.16"
MYPY = "mypy==2.4.1"
PYRIGHT = "pyright[nodejs]==1.1.414"  # with its own node, from PyPI: nothing else is downloaded


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests against an installed lastout, as a user has it."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and the architecture: which room may import which."""
    session.install(RUFF, IMPORT_LINTER)
    existing = [path for path in (*SOURCES, "examples", "benchmarks") if Path(path).exists()]
    session.run("ruff", "check", *existing)
    session.run("ruff", "format", "--check", *existing)
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": "src"})


@nox.session
def typing(session: nox.Session) -> None:
    """Types, by two checkers, for the oldest and the newest Python."""
    session.install(MYPY, PYRIGHT, ".[test]")
    for version in (PYTHONS[0], PYTHONS[-1]):
        session.run("mypy", "--python-version", version)
        session.run("pyright", "--pythonversion", version)


@nox.session
def coverage(session: nox.Session) -> None:
    """Coverage of the tests, with forked, spawned and `os._exit` children counted in."""
    session.install("coverage[toml]>=7.10", ".[test]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error.  Its examples run in the tests."""
    session.install("sphinx>=8.1,<9", "myst-parser>=4,<5", "furo>=2024.8.6", ".")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build")
    session.log("open docs/_build/index.html")


@nox.session
def stress(session: nox.Session) -> None:
    """Storms: many processes that end in every way at once; `-- -k name` chooses."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", "tests/stress", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the budgets of DESIGN.md beside their rivals; `-- --quick` for a first look."""
    session.install("pyperf>=2.8", ".[test]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Build sdist and wheel, check both, and run the tests against the wheel."""
    session.install("build>=1.2", "twine>=6", "check-wheel-contents>=0.6")
    dist = Path(session.create_tmp(), "dist")
    for old in dist.glob("*"):
        old.unlink()
    # The wheel is built from the sdist, so the sdist is complete.
    session.run("python", "-m", "build", "--outdir", str(dist))
    files = sorted(map(str, dist.iterdir()))
    session.run("twine", "check", "--strict", *files)
    [wheel] = [path for path in files if path.endswith(".whl")]
    session.run("check-wheel-contents", wheel)
    # An environment of its own: the tools above bring packages that could hide a missing one.
    fresh = Path(session.create_tmp(), "fresh")
    session.run("python", "-m", "venv", "--clear", str(fresh))
    python = str(fresh / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    session.run(python, "-m", "pip", "install", "-q", f"{wheel}[test]", external=True)
    # Only this environment's own packages: nox puts its directory first on PATH.
    path = os.pathsep.join([str(Path(python).parent), os.environ["PATH"]])
    session.run(python, "-m", "pytest", *session.posargs, env={"PATH": path}, external=True)

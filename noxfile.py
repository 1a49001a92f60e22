"""What is run on lastout, each in an environment of its own: `nox -l` lists it.

Tools are pinned, so that a new release of one of them breaks nothing overnight.
Pythons are found on PATH; with pyenv, name them in PYENV_VERSION (as `.ci/run` does).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint", "typing", "docs", "package"]
nox.options.reuse_existing_virtualenvs = False

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
WHOLE = ["--all", "-n0"]  # all tests, in one process: tests/support/quick.py
SOURCES = ["src", "tests", "docs/conf.py", "noxfile.py"]
RUFF = "ruff==0.17.6"
IMPORT_LINTER = "import-linter==2.16"
COSMIC_RAY = "cosmic-ray==8.7.0"
COVERAGE = "coverage>=7.13,<8"
MATPLOTLIB = "matplotlib>=3.9,<4"
RIVALS = ["multiexit>=1.5", "loky>=3.5", "distributed>=2024.8", "psutil>=6"]
MYPY = "mypy==2.4.1"
# arq wants another redis-py than celery's broker would: celery is run without a Redis.
SERVERS = [
    "gunicorn>=27",
    "uvicorn>=0.54",
    "uvicorn-worker",
    "granian>=2.8",
    "hypercorn",
    "waitress",
]
SERVERS += ["daphne", "aiohttp", "tornado", "twisted", "sanic", "cheroot", "cherrypy", "gevent"]
SERVERS += ["eventlet", "uwsgi", "trio", "anyio"]
QUEUES = ["dramatiq>=2.2", "celery>=5.7", "rq>=3", "huey>=3.5", "arq", "apscheduler", "luigi"]
QUEUES += ["watchfiles", "supervisor", "circus", "redis"]
START = "import os; os.getenv('COVERAGE_PROCESS_START') and __import__('covered')\n"  # a .pth file
MEASURED = Path(".coverage-data").absolute()  # a folder of data for each Python
PYRIGHT = "pyright[nodejs]==1.1.414"  # with its own node, from PyPI: nothing else is downloaded


def _run_tests(session: nox.Session, python: Path) -> None:
    """Run the tests in an environment of their own, not in that of the session.

    `create_tmp` moves TMPDIR into the checkout, where the suites that tests run would find
    our pyproject.toml, and paths of sockets would be too long; nox puts its own directory
    first on PATH.
    """
    env = {
        "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]),
        "TMPDIR": tempfile.gettempdir(),
    }
    session.run(str(python), "-m", "pytest", *session.posargs, env=env, external=True)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests against an installed lastout, as a user has it; `-- --all` for all of them."""
    session.install(".[test,greenlets,stores]")
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
    session.install(MYPY, PYRIGHT, MATPLOTLIB, ".[test]")
    for version in (PYTHONS[0], PYTHONS[-1]):
        session.run("mypy", "--python-version", version)
        session.run("pyright", "--pythonversion", version)


@nox.session(python=PYTHONS)
def coverage(session: nox.Session) -> None:
    """Coverage of the tests on each Python, with all its processes and threads counted in."""
    session.notify("figure")  # once, of all Pythons together, whatever becomes of the tests
    # In place: what lies among other packages is theirs to coverage.py, in the jobs of guardians.
    session.install(COVERAGE, "-e", ".[test,greenlets,stores]")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    library = str(session.run("python", "-c", where, silent=True)).strip()
    shutil.copy("tests/support/covered.py", library)
    Path(library, "covered.pth").write_text(START)
    data = MEASURED / str(session.python)
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    env = {"COVERAGE_FILE": str(data / "data")}
    measured = {**env, "COVERAGE_PROCESS_START": os.path.abspath("pyproject.toml")}
    # Those measure time, or harm one process at each of its thousands of system calls.
    elsewhere = [f"--ignore=tests/{name}" for name in ("benchmarks", "crash", "sabotage")]
    try:
        session.run("python", "-m", "pytest", *WHOLE, *elsewhere, *session.posargs, env=measured)
    finally:
        session.run("coverage", "combine", "--quiet", silent=True, env=env)


@nox.session
def figure(session: nox.Session) -> None:
    """The figure of all that `coverage` measured; it fails below `fail_under`."""
    session.install(COVERAGE)
    files = sorted(str(data) for data in MEASURED.glob("*/data"))
    session.run("coverage", "combine", "--quiet", "--keep", *files, silent=True)
    session.run("coverage", "report")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error.  Its examples run in the tests."""
    session.install("sphinx>=8.1,<9", "myst-parser>=4,<5", "furo>=2024.8.6", ".[pytest]")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build")
    session.log("open docs/_build/index.html")


@nox.session
def minimums(session: nox.Session) -> None:
    """The tests with the oldest dependencies that we say we work with, on the oldest Python."""
    session.install("uv>=0.5")
    fresh = Path(session.create_tmp(), "fresh")
    session.run("uv", "venv", "--clear", "--python", PYTHONS[0], str(fresh))
    to_it = {"VIRTUAL_ENV": str(fresh)}
    # With a newer one the oldest matplotlib warns, and a warning is an error in the tests.
    oldest = ["--resolution", "lowest-direct", ".[test]", "pyparsing>=3.2,<3.3"]
    session.run("uv", "pip", "install", *oldest, env=to_it)
    session.run("uv", "pip", "list", env=to_it)
    _run_tests(session, fresh / "bin" / "python")


@nox.session(name="next", python=False)
def next_pythons(session: nox.Session) -> None:
    """All tests under Python 3.13.8 or later, 3.14 and 3.15, in a Debian; as root, on Linux."""
    session.run(".ci/next", *(session.posargs or ["--all"]), external=True)


@nox.session(python=False)
def freethreaded(session: nox.Session) -> None:
    """The tests on a Python without a GIL, which it builds; `-- 3.14 tests/process` chooses."""
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "lastout")
    place = os.environ.get("LASTOUT_FREETHREADED") or kept / "freethreaded"
    session.run(".ci/freethreaded", str(place), *session.posargs, external=True)


@nox.session
def stress(session: nox.Session) -> None:
    """Storms: many processes that end in every way at once; `-- -k name` chooses."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", *WHOLE, "tests/stress", *session.posargs)


@nox.session
def frameworks(session: nox.Session) -> None:
    """Other people's servers and queues, with a request or job in flight; wants redis-server."""
    session.install(*SERVERS, *QUEUES, ".[test]")
    session.run("python", "-m", "pytest", *WHOLE, "tests/servers", *session.posargs)


@nox.session
def properties(session: nox.Session) -> None:
    """Search for a counterexample for a long time; the tests do it for a few seconds."""
    session.install(".[test]")
    long = ["--hypothesis-profile=long", "-o", "timeout=0"]
    session.run("python", "-m", "pytest", *WHOLE, "tests/properties", *long, *session.posargs)


@nox.session
def model(session: nox.Session) -> None:
    """All states of the protocol's model; needs spin, gcc; `-- --quick`, `-- --members 3`."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", "-s", "tests/model", *session.posargs)


@nox.session
def crash(session: nox.Session) -> None:
    """Each system call of each step killed, torn, failed, stopped (half an hour); needs gcc."""
    session.install(".[test]")
    env = {"LASTOUT_CRASH": "all"}
    session.run("python", "-m", "pytest", *WHOLE, "tests/crash", *session.posargs, env=env)


@nox.session
def sabotage(session: nox.Session) -> None:
    """Break each promise on purpose, and see that a test fails; `-- WORD` chooses; needs gcc."""
    session.install(".[test]")
    session.run("python", "-m", "sabotage", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def mutation(session: nox.Session) -> None:
    """Change one thing at a time in what must not fail; a test must see it; `-- NAME` chooses."""
    session.install(COSMIC_RAY, ".[test]")
    session.run("python", "-m", "mutation", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the budgets beside their rivals and draw them; `-- --quick` for a first look."""
    session.install(*RIVALS, "pyperf>=2.8", MATPLOTLIB, ".[test]")
    # With arguments it is a look; without any it makes the figures of the documentation.
    place = Path(session.create_tmp()) if session.posargs else Path("docs/explanation/speed")
    results = str(place / "results.json")
    measured = ("python", "-m", "benchmarks", "--json", results, *session.posargs)
    session.run(*measured, success_codes=[0, 1])  # 1: a budget was missed
    session.run("python", "-m", "benchmarks.plots", results, str(place))
    session.run("python", "-m", "benchmarks.tables", results, str(place / "tables.md"))


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
    _run_tests(session, Path(python))

"""Interpreter: a Python that can run another program for this process.

`sys.executable` need not be a Python: in a frozen program it is the program itself, which would
be started once more, and in an embedded Python (uWSGI) it is the host, empty or a guess.

    sys.frozen                                     no interpreter
    sys.executable, which runs this very process   taken
    another file of a Python's name and place      tried once, for its version and for lastout

Tested by: tests/test_interpreter.py
"""

from __future__ import annotations

import os
import sys

from ..layout import ARTIFACT_VARIABLE, SCOPE_VARIABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from typing import Final

# How a helper process of lastout begins, with `PACKAGE` as its second argument: `lastout` is
# made without running its `__init__`, because its imports would cost time and megabytes.
PREAMBLE: Final = (
    "import sys; lastout = sys.modules['lastout'] = type(sys)('lastout');"
    " lastout.__path__ = [sys.argv[2]];"
)
_TIME_LIMIT: Final = 10.0  # seconds that a candidate may take to start
_NOT_PASSED_ON: Final = frozenset({SCOPE_VARIABLE, ARTIFACT_VARIABLE})
PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Not at the front, because a module beside lastout may have a name of the standard library's.
_TRIAL: Final = (
    "import os, sys; sys.path.append(sys.argv[1]); import lastout;"
    " say = sys.implementation.cache_tag, sys.abiflags, lastout.__path__[0];"
    " os.write(1, os.fsencode(' '.join(say)))"
)

# The result for each `sys.executable`, because a program may set that later.
_found: dict[tuple[object, bool], str | None] = {}


def interpreter() -> str | None:
    """The path of a Python of this version that has this lastout; `None` if there is none.

    To find out, only files with the name of a Python are ever run, and a frozen program
    runs none.

    Raises:
        OSError: no memory, processes or descriptors are left to try a candidate.
    """
    asked = sys.executable, is_frozen()
    if asked not in _found:
        _found[asked] = None if is_frozen() else next(filter(_is_ours, _candidates()), None)
    return _found[asked]


def why_none() -> str:
    """Why there is no `interpreter`, worded for an error message about this program."""
    return "is frozen" if is_frozen() else "has no Python interpreter of its version"


def environment_outside() -> dict[str, str]:
    """The environment for a helper process of lastout.

    Without the variables that would lead it into a scope, or mark it as an artifact.
    """
    return {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}


def is_frozen() -> bool:
    """Whether this is a program made by PyInstaller, cx_Freeze or a similar tool."""
    return bool(getattr(sys, "frozen", False))


def _candidates() -> Iterator[str]:
    """Where a Python may be, the likeliest first."""
    yield sys.executable or ""
    yield getattr(sys, "_base_executable", "") or ""
    names = f"python{sys.version_info[0]}.{sys.version_info[1]}{sys.abiflags}", "python3"
    for place in (sys.exec_prefix, sys.base_exec_prefix, _installed_in()):
        for name in names:
            yield os.path.join(place, "bin", name)


def _installed_in() -> str:
    import sysconfig

    try:
        return os.path.dirname(sysconfig.get_config_var("BINDIR") or "")
    except ImportError:  # a bundled Python may lack the data of `sysconfig`
        return ""


def _is_ours(path: str) -> bool:
    # The name first, because running any other program could do harm.
    if not (os.path.isabs(path) and _has_name_of_python(path) and os.access(path, os.X_OK)):
        return False
    return _runs_us(path) or _passes(path)


def _runs_us(path: str) -> bool:
    """Whether `path` is the very program that this process runs."""
    try:
        return os.path.samefile(path, "/proc/self/exe")
    except OSError:  # no /proc, or it is hidden from this process
        return path == sys.executable


def _has_name_of_python(path: str) -> bool:
    """Whether the file has a name such as python, python3, python3.13t or python3.13-dbg."""
    name = os.path.basename(path).lower()
    return name.startswith("python") and not name[6:].strip("0123456789.-bdgmt")


def _passes(path: str) -> bool:
    """Run a candidate once; whether it has the same version of Python and this lastout."""
    import subprocess

    from .files import scratch_file

    told = scratch_file()
    try:
        process = subprocess.Popen(
            [path, "-I", "-S", "-c", _TRIAL, os.path.dirname(PACKAGE)],
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        _wait(process)
        ours = f"{sys.implementation.cache_tag} {sys.abiflags} {PACKAGE}"
        return os.pread(told, 65536, 0) == os.fsencode(ours)
    finally:
        os.close(told)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process ends, and kill it with its group if that takes too long."""
    import signal
    import subprocess

    try:
        process.wait(_TIME_LIMIT)
    except subprocess.TimeoutExpired:
        return
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

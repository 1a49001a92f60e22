"""Journals with callbacks of every sort: recorded by killed members, kept, and put back.

Kept are those of former builds, in `tests/shared/upgrades`.  One more, from `tests/`, with the
lastout that lies in SRC:

    python -m support.keepsakes SRC FILE
"""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import shutil
import subprocess
import sys
from base64 import b85decode, b85encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lastout._scopes.kinds.semaphore import SemaphoreKind
from lastout._scopes.kinds.shared_memory import SharedMemoryKind
from lastout._scopes.kinds.untracked import Semaphore, SharedMemory
from lastout._scopes.records import journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Record = list[Any]

TESTS = Path(__file__).parents[1]
KEPT = TESTS / "shared" / "upgrades"
SCOPE = "keepsakes"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
_PLACE = Path("/tmp/lastout-keepsakes")  # where those that are kept were recorded
# What a callback opens where it is unpickled: how it is made and removed.
SEGMENTS: dict[str, tuple[Callable[[str], Any], Callable[[str], object]]] = {
    "shared_memory": (lambda name: SharedMemory(name, True, 4096), SharedMemoryKind().unlink),
    "semaphore": (lambda name: Semaphore(name, 1), SemaphoreKind().unlink),
}
_CODE = {"marshal:loads", "dill._dill:_create_code"}  # which only the same Python understands
_WITH_CODE = ("a closure:", "a function:")  # what these note begins so


class Left(NamedTuple):
    """What killed members left.

    Attributes:
        python: of which version they were.
        expected: what their callbacks note, each of them once.
        segments: kind and name of what the callbacks open, and these journals have not recorded.
        journals: by their tokens, what they recorded.
    """

    python: str
    expected: list[str]
    segments: list[tuple[str, str]]
    journals: dict[str, list[Record]]


def record(directory: Path, source: Path) -> None:
    """Have two members record callbacks by the lastout in `source`, and be killed."""
    for name in ("keepsakes.py", "recorder.py"):
        shutil.copy(TESTS / "programs" / name, directory)
    place = {"PYTHONPATH": str(source), "LASTOUT_ROOT": str(directory / "root")}
    command = [sys.executable, "recorder.py"]
    ended = subprocess.run(command, cwd=directory, env={**os.environ, **place}, check=False)
    assert ended.returncode == -9


def keep(source: Path, file: Path) -> None:
    """Record, and keep what can be put back."""
    _PLACE.mkdir()
    record(_PLACE, source)
    found = sorted((_PLACE / "root" / SCOPE).glob("*.journal"))
    journals = {one.stem: journal.records(one.read_bytes()) for one in found}
    made = [one for some in journals.values() for one in some if one[0] == "made"]
    named = [(one[3], one[4]) for one in made if one[3] in SEGMENTS]
    expected = (_PLACE / "expected").read_text().splitlines()
    kept = {token: list(_kept(records)) for token, records in journals.items()}
    file.write_text(json.dumps(Left(PYTHON, expected, named, kept), indent=1) + "\n")
    for kind, name in named:
        SEGMENTS[kind][1](name)
    shutil.rmtree(_PLACE)


def _kept(records: list[Record]) -> Iterator[Record]:
    without = [one[2] for one in records if one[0] == "made" and one[3] in SEGMENTS]
    for one in records:
        number = {"made": 2, "more": 1}.get(one[0])
        if number is None or one[number] not in without:
            if one[0] == "made" and one[3] == "callback":
                one[7]["path"] = []  # that of a Python which is elsewhere now
            yield one


def kept(file: Path) -> Left:
    """What was kept there."""
    return Left(*json.loads(file.read_text()))


def put_back(left: Left, directory: Path, names: Mapping[str, str]) -> list[str]:
    """Put it into a directory, without what this Python has no use for; what is to be noted.

    Args:
        left: what was kept.
        directory: a new one, for it.
        names: what else is called otherwise now.
    """
    shutil.copy(TESTS / "programs" / "keepsakes.py", directory)
    names = {str(_PLACE): str(directory), **names}
    scope = directory / "root" / SCOPE
    scope.mkdir(mode=0o700, parents=True)
    for token, records in left.journals.items():
        made = [_put_back(one, names) for one in records if left.python == PYTHON or not _code(one)]
        (scope / f"{token}.journal").write_bytes(b"".join(map(journal.seal, made)))
    without = () if left.python == PYTHON else _WITH_CODE
    return [_renamed(line, names) for line in left.expected if not line.startswith(without)]


def _put_back(record: Record, names: Mapping[str, str]) -> str:
    if record[0] == "made" and record[3] == "callback":
        record[7]["path"] = [names[str(_PLACE)], *map(os.path.abspath, sys.path)]
        if pickled := pickle_of(record):
            record[7]["pickle"] = b85encode(_rewritten(pickled, names)).decode()
    return _renamed(json.dumps(record, separators=(",", ":")), names)


def _renamed(text: str, names: Mapping[str, str]) -> str:
    for name, now in names.items():
        text = text.replace(name, now)
    return text


def pickle_of(record: Record) -> bytes:
    """The pickle of a callback; empty if it is recorded by its name, or is none."""
    pickled = record[7].get("pickle", "") if record[0] == "made" else ""
    return b85decode(pickled)


def _code(record: Record) -> bool:
    return bool(_CODE & names_in(pickle_of(record)))


def _rewritten(pickled: bytes, names: Mapping[str, str]) -> bytes:
    """The same pickle, in which some texts are others, and may be of another length."""
    parts, ops = [], [*pickletools.genops(pickled)]
    ends = [at for _, _, at in ops[1:]] + [len(pickled)]
    for (code, argument, at), end in zip(ops, ends, strict=True):
        if code.name in ("SHORT_BINUNICODE", "BINUNICODE"):
            text = _renamed(argument, names).encode("utf-8", "surrogatepass")
            parts.append(b"X" + len(text).to_bytes(4, "little") + text)
        elif code.name != "FRAME":  # it says how long what follows is, and need not be there
            parts.append(pickled[at:end])
    return b"".join(parts)


def names_in(pickled: bytes) -> set[str]:
    """What a pickle would import, as `module:name`; nothing is."""
    listing = _Listing(io.BytesIO(pickled))
    if pickled:
        listing.load()
    return listing.found


class _Anything:
    """Stands for whatever a pickle imports, and takes whatever it does with that."""

    def __new__(cls, *_: Any, **__: Any) -> _Anything:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...
    def __call__(self, *_: Any, **__: Any) -> _Anything:
        return self

    def __setstate__(self, state: Any) -> None: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def append(self, value: Any) -> None: ...
    def __hash__(self) -> int:
        return 0


class _Listing(pickle._Unpickler):  # type: ignore[name-defined]
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.found: set[str] = set()

    def find_class(self, module: str, name: str) -> type[_Anything]:
        self.found.add(f"{module}:{name}")
        return _Anything


if __name__ == "__main__":
    keep(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))

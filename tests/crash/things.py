"""Members and things, as they stand in journals; read without lastout's own code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def records(data: bytes) -> Iterator[list[Any]]:
    """The sound records in the bytes of a journal."""
    for line in data.split(b"\n")[1:]:
        if line[:9] == b"%08x " % crc32(line[9:]):
            yield json.loads(line[9:])


class Member:
    """One journal, and whose it is."""

    def __init__(self, scope: str, publisher: int, since: int) -> None:
        self.scope = scope
        self.publisher = publisher
        self.since = since  # how many processes had been born when it was made
        self.pid: int | None = None
        self.parent: int | None = None  # that of a worker, which ends with it
        self.published = False
        self.gone = False


class Thing:
    """One artifact as it was recorded, and what became of it."""

    def __init__(self, token: str, fields: list[Any], places: dict[str, str]) -> None:
        ns, number, kind, location, lifetime, after, data = fields
        self.id = f"{token}.{number}"
        self.token = token
        self.age = (ns, token, number)
        self.kind = kind
        self.lifetime = lifetime
        self.after = after
        self.data = data
        self.place = _place(kind, location, data, places)
        self.cwd = data.get("cwd", "") if kind in ("popen", "command", "callback") else ""
        # What is made by others, or is not a file, is there as soon as it is recorded.
        self.there = kind in ("command", "callback") or "inode" in data
        self.complete = self.there
        self.gone = self.done = self.kept = False

    @property
    def resolved(self) -> bool:
        """Whether there is nothing (any more) that would have to go."""
        return self.gone or self.kept or self.done or not self.there

    @property
    def goes_by_program(self) -> bool:
        """Whether a program cleans it, which may be killed before it can tape what it did."""
        return self.kind in ("command", "callback", "popen") or not self.there

    def goes_before(self, other: Thing) -> bool:
        """Whether this one must go before the other."""
        if self.id in other.after:
            return True
        if other.kind != "directory":
            return False
        inside = self.cwd or (self.place if self.place.startswith("/") else "")
        return inside.startswith(f"{other.place}/") or (bool(self.cwd) and inside == other.place)

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.place})"


def _place(kind: str, location: str, data: dict[str, Any], places: dict[str, str]) -> str:
    """What is gone when it is cleaned."""
    if kind == "shared_memory":
        return f"/dev/shm/{location}"
    if kind == "semaphore":
        return f"/dev/shm/sem.{location}"
    if kind == "command":
        return str(data["argv"][-1])
    if kind == "callback":
        return str(data["args"][0]) if "args" in data else places.get(location, location)
    return location

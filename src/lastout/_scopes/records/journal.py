r"""Journal: the records of one member, a line for each.

    \n3f2a99c1 ["made",81245,3,"directory","/tmp/x","scope",[],{}]
      |        |
      checksum the record, in JSON

A record begins with its newline and is one write, so a torn record (a full disk)
never spoils the next, by the same or another writer.  Readers skip a line with a
wrong checksum.  The tail of a torn write is skipped silently, because its writer got
an error; any other line counts as damage.

    lastout  format version, member token           once, first
    join     ns, identity (see Identity)            a forked child writes its own
    made     ns, number, kind, location, lifetime, after, data
    more     number, data                           known only after it was made
    begun    numbers, ns, pid                       a process is cleaning them
    done     numbers, ns, pid                       cleaned
    kept     numbers, ns, pid                       to be forgotten
    worker   grace, parent, terminates itself       it is to end when its parent has
    left     ns                                     the member left in good order

Of `begun`, `done` and `kept` the numbers count, and of `begun` also the pid, because that
process may wait for artifacts that it began to end or call.  The time is for people.  Early
journals have neither pid nor time.

Tested by: tests/shared/test_journal.py, tests/properties/test_journal.py
"""

from __future__ import annotations

import json
import os
import re
from json.encoder import encode_basestring_ascii as quote
from time import monotonic_ns
from zlib import crc32

from ..._identity import Identity
from ...errors import JournalTooNew
from .artifact import Artifact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

FORMAT = 1

_to_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_TORN = rb"[0-9a-f]{0,8}|[0-9a-f]{8} (\[[ -~]*)?"  # not compiled, because seldom needed


def seal(record: str) -> bytes:
    """A record as it is written: newline, checksum, JSON."""
    body = record.encode()
    return b"\n%08x %b" % (crc32(body), body)


def header(token: str) -> bytes:
    """The first record of a journal."""
    return seal(f'["lastout",{FORMAT},{quote(token)}]')


def join(ns: int, who: Identity) -> bytes:
    """The identity of the member."""
    return seal(_to_json(["join", ns, *who.as_tuple()]))


def made(
    ns: int,
    number: int,
    kind: str,
    location: str,
    lifetime: str,
    after: Iterable[str],
    data: Mapping[str, Any],
) -> bytes:
    """An artifact that is about to be made."""
    # By a template, because `json.dumps` would take ten times as long.
    later = _to_json(list(after)) if after else "[]"
    facts = _to_json(data) if data else "{}"
    return seal(f'["made",{ns},{number},"{kind}",{quote(location)},"{lifetime}",{later},{facts}]')


def more(number: int, data: Mapping[str, Any]) -> bytes:
    """Data of an artifact that is known only after it was made."""
    return seal(f'["more",{number},{_to_json(data)}]')


def mark(verb: str, numbers: Iterable[int | str]) -> bytes:
    """`begun`, `done` or `kept`, for some artifacts of one member, by this process and now."""
    which = ",".join(map(str, numbers))
    return seal(f'["{verb}",[{which}],{monotonic_ns()},{os.getpid()}]')


def worker(parent: Identity, grace: float, terminates_itself: bool = False) -> bytes:
    """The member has to end when `parent` has; `grace` seconds from SIGTERM to SIGKILL."""
    return seal(_to_json(["worker", grace, *parent.as_tuple(), terminates_itself]))


def left(ns: int) -> bytes:
    """The member left."""
    return seal(f'["left",{ns}]')


class Journal:
    """The content of a journal.

    Attributes:
        token: the token of the member.
        who: the identity of its process; without a pid if it never recorded a pid.
        joined_ns: when it joined, on the monotonic clock.
        made: all artifacts that it recorded, by number.
        begun: the numbers of artifacts that a process began to clean.
        begun_by: the pid of that process, by number; 0 if unknown.
        gone: the numbers of artifacts that were cleaned or are to be kept.
        left: whether it left in good order.
        parent: the process whose worker it is; `None` if it is no worker.
        grace: seconds that a worker has to end by itself when its parent has ended.
        terminates_itself: whether the worker needs no SIGTERM for that.
        damage: how many lines are neither a record nor a torn record.
    """

    __slots__ = (
        *("begun", "begun_by", "damage", "gone", "grace", "joined_ns", "left"),
        *("made", "parent", "scope", "terminates_itself", "token", "who"),
    )

    def __init__(self, token: str, scope: str = "") -> None:
        self.token = token
        self.scope = scope
        self.who = Identity(None)
        self.joined_ns = 0
        self.made: dict[int, Artifact] = {}
        self.begun: set[int] = set()
        self.begun_by: dict[int, int] = {}
        self.gone: set[int] = set()
        self.left = False
        self.parent: Identity | None = None
        self.grace = 0.0
        self.terminates_itself = False
        self.damage = 0

    def unresolved(self) -> list[Artifact]:
        """The artifacts that are still to be cleaned, oldest first."""
        if not self.gone:
            return list(self.made.values())
        return [artifact for number, artifact in self.made.items() if number not in self.gone]

    def _add(self, record: list[Any]) -> None:
        verb = record[0]
        if verb == "made":
            _, ns, number, kind, location, lifetime, after, data = record
            if not (
                type(number) is type(ns) is int
                and type(kind) is type(location) is str
                and type(data) is dict
            ):
                raise TypeError("not an artifact")
            name = f"{self.token}.{number}"
            self.made[number] = Artifact(
                name, kind, location, lifetime, tuple(after), data, ns, self.scope
            )
        elif verb == "more":
            # The parsed dict is this journal's own.
            self.made[record[1]].data.update(record[2])  # type: ignore[attr-defined]
        elif verb == "begun":
            self.begun.update(record[1])
            self.begun_by.update(dict.fromkeys(record[1], record[3] if len(record) > 3 else 0))
        elif verb in ("done", "kept"):
            self.gone.update(record[1])
        elif verb == "join":
            self.joined_ns, self.who = record[1], Identity(*record[2:])
        elif verb == "worker":
            self.grace, self.parent = float(record[1]), Identity(*record[2:9])
            self.terminates_itself = bool(record[9])
        elif verb == "left":
            self.left = True
        elif verb != "lastout":
            raise ValueError(f"no such record: {verb!r}")


def parse(token: str, data: bytes, scope: str = "") -> Journal:
    """Read the journal of the member `token`.

    Raises:
        JournalTooNew: a newer lastout wrote the journal, in a format unknown here.
    """
    journal = Journal(token, scope)
    before, *lines = data.split(b"\n")
    bodies, journal.damage = _sound(lines)
    journal.damage += bool(before)  # the first record begins with its newline too
    if not bodies:
        return journal
    newer = _newer_format(bodies[0])
    if newer:
        raise JournalTooNew(
            f"the member {token} of the scope {scope!r} was written by a newer lastout"
            f" (journal format {newer}, this one reads {FORMAT}); upgrade lastout here."
            " Nothing was touched",
            scope=scope,
            member=token,
            format=newer,
        )
    records, unreadable = _load(bodies)
    journal.damage += unreadable
    for record in records:
        try:
            journal._add(record)
        except (KeyError, TypeError, ValueError, IndexError):
            journal.damage += 1
    return journal


def records(data: bytes) -> list[list[Any]]:
    """All records as they were written: the verb, then its fields."""
    sound, _ = _sound(data.split(b"\n")[1:])
    return [record for record in _load(sound)[0] if isinstance(record, list) and record]


def _load(bodies: list[bytes]) -> tuple[list[Any], int]:
    """The values, and how many could not be read."""
    try:
        # As one array, because that is 1.8 x faster than line by line.
        return json.loads(b"[%b]" % b",".join(bodies)), 0
    except ValueError:
        if len(bodies) == 1:
            return [], 1
    loaded = [_load([body]) for body in bodies]  # singly, to skip only unreadable records
    return [value for values, _ in loaded for value in values], sum(bad for _, bad in loaded)


def _newer_format(header: bytes) -> int:
    """The format in a header, if newer than the format known here; else 0."""
    match _load([header])[0]:
        case [["lastout", int(number), *_]] if number > FORMAT:
            return number
    return 0


def _sound(lines: list[bytes]) -> tuple[list[bytes], int]:
    """The records with a right checksum, and how many lines are neither these nor torn."""
    sound, damage = [], 0
    for line in lines:
        body = line[9:]
        if body and line[:9] == b"%08x " % crc32(body):
            sound.append(body)
        elif not re.fullmatch(_TORN, line):
            damage += 1
    return sound, damage

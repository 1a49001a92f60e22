r"""Journal: what a member wrote down, one line for each record.

    \n3f2a99c1 ["made",81245,3,"directory","/tmp/x","scope",[],{}]
      |        |
      checksum the record, in JSON

A record begins with its newline and is one write, so one that was torn (a full
disk) never spoils the next, whoever writes that.  A line with a wrong checksum
is left out: the tail of a torn write silently, for whoever wrote it was told;
anything else is damage, and counted.

    lastout  format version, member token           once, first
    join     ns, and who it is (see Identity)       a forked child says it itself
    made     ns, number, kind, location, lifetime, after, data
    more     number, data                           known only after it was made
    begun    numbers, ns, pid                       being cleaned by somebody
    done     numbers, ns, pid                       cleaned
    kept     numbers, ns, pid                       to be forgotten
    worker   grace, its parent, asks itself         it is to end when that one has
    left     ns                                     the member left in good order

Of a mark the numbers count, and of "begun" which process made it: that may wait for
what it began to end or call.  When it was is for people.  Early journals do not say.

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
_TORN = rb"[0-9a-f]{0,8}|[0-9a-f]{8} (\[[ -~]*)?"  # seldom needed, and so not compiled yet


def seal(record: str) -> bytes:
    """A record as it is written: newline, checksum, JSON."""
    body = record.encode()
    return b"\n%08x %b" % (crc32(body), body)


def header(token: str) -> bytes:
    """The first record of a journal."""
    return seal(f'["lastout",{FORMAT},{quote(token)}]')


def join(ns: int, who: Identity) -> bytes:
    """Who the member is."""
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
    """Something is about to be made."""
    # A template: `json.dumps` would take ten times as long.
    later = _to_json(list(after)) if after else "[]"
    facts = _to_json(data) if data else "{}"
    return seal(f'["made",{ns},{number},"{kind}",{quote(location)},"{lifetime}",{later},{facts}]')


def more(number: int, data: Mapping[str, Any]) -> bytes:
    """What is known of it now that it is made."""
    return seal(f'["more",{number},{_to_json(data)}]')


def mark(verb: str, numbers: Iterable[int | str]) -> bytes:
    """`begun`, `done` or `kept`, for some artifacts of one member, by this process and now."""
    which = ",".join(map(str, numbers))
    return seal(f'["{verb}",[{which}],{monotonic_ns()},{os.getpid()}]')


def worker(parent: Identity, grace: float, terminates_itself: bool = False) -> bytes:
    """The member is of no use without another process; seconds from SIGTERM to SIGKILL."""
    return seal(_to_json(["worker", grace, *parent.as_tuple(), terminates_itself]))


def left(ns: int) -> bytes:
    """The member left."""
    return seal(f'["left",{ns}]')


class Journal:
    """What stands in a journal.

    Attributes:
        token: the member.
        who: its process; without a pid if it never said so.
        joined_ns: when it joined, on the monotonic clock.
        made: all that it recorded, by number.
        begun: the numbers of those that somebody began to clean.
        begun_by: the pid of whoever did, by number, where it is said.
        gone: the numbers of those that were cleaned or are to be kept.
        left: whether it left in good order.
        parent: the process that it is a worker of, if it is one.
        grace: seconds that it has to end by itself when that one has ended.
        terminates_itself: whether it needs no SIGTERM for that.
        damage: how many lines are neither a record nor a torn one.
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
        """Those that are still to be cleaned, oldest first."""
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
        JournalTooNew: a newer lastout wrote it; nothing can be said of it.
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
    """All that was written down, as it stands there: the verb, then its fields."""
    sound, _ = _sound(data.split(b"\n")[1:])
    return [record for record in _load(sound)[0] if isinstance(record, list) and record]


def _load(bodies: list[bytes]) -> tuple[list[Any], int]:
    """The values, and how many could not be read."""
    try:
        # As one array: 1.8 x faster than line by line.
        return json.loads(b"[%b]" % b",".join(bodies)), 0
    except ValueError:
        if len(bodies) == 1:
            return [], 1
    loaded = [_load([body]) for body in bodies]  # to read what can be read
    return [value for values, _ in loaded for value in values], sum(bad for _, bad in loaded)


def _newer_format(header: bytes) -> int:
    """The format that it names, if that is a newer one; else 0."""
    match _load([header])[0]:
        case [["lastout", int(number), *_]] if number > FORMAT:
            return number
    return 0


def _sound(lines: list[bytes]) -> tuple[list[bytes], int]:
    """The records whose checksum is right, and how many others are no torn ones either."""
    sound, damage = [], 0
    for line in lines:
        body = line[9:]
        if body and line[:9] == b"%08x " % crc32(body):
            sound.append(body)
        elif not re.fullmatch(_TORN, line):
            damage += 1
    return sound, damage

"""Containment: which directory a recorded thing lies in, asked of its record or of its bytes.

    lies_in("/d/x", {})                     "/d"       an absolute location: the directory above it
    lies_in("sleep 9", {"cwd": "/d"})       "/d"       what runs in a directory lies in it
    lies_in("a name", {})                   ""         in none

No kind is asked, so one that a newer version recorded keeps its directory as well: nobody
here could say what becomes of it when the directory goes.

Tested by: tests/shared/test_containment.py, tests/properties/test_containment.py
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .artifact import JSON, Artifact


def lies_in(location: str, data: Mapping[str, JSON]) -> str:
    """The directory that something lies or runs in; empty if it is in none."""
    cwd = data.get("cwd")
    if cwd:
        return str(cwd)
    return location.rpartition("/")[0] if location.startswith("/") else ""


def lies_inside(directory: Artifact, journal: bytes) -> bool:
    """Whether a journal names anything that lies in this directory, or runs in it.

    It parses nothing, because journals can be long and few name the directory.  It never
    misses what `lies_in` says of a record; it finds more where a path stands in other data, or
    behind a quote in a name.
    """
    path = json.dumps(directory.location)  # as it stands in a journal
    return f"{path[:-1]}/".encode() in journal or f'"cwd":{path}'.encode() in journal

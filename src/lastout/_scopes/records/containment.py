"""Containment: the directory that an artifact lies in, by its record or by the journal's bytes.

    lies_in("/d/x", {})                     "/d"       an absolute location: the directory above it
    lies_in("sleep 9", {"cwd": "/d"})       "/d"       a command lies in its working directory
    lies_in("a name", {})                   ""         in no directory

Kinds are not asked, so an artifact of a newer version keeps its directory as well, because
this version cannot know what happens to it when the directory is removed.

Tested by: tests/shared/test_containment.py, tests/properties/test_containment.py
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .artifact import JSON, Artifact


def lies_in(location: str, data: Mapping[str, JSON]) -> str:
    """The directory that an artifact lies or runs in; empty if none."""
    cwd = data.get("cwd")
    if cwd:
        return str(cwd)
    return location.rpartition("/")[0] if location.startswith("/") else ""


def lies_inside(directory: Artifact, journal: bytes) -> bool:
    """Whether a journal names an artifact that lies in this directory, or runs in it.

    Without parsing, because journals can be long and few name the directory.  The search
    finds every record of which `lies_in` says so, and more if a path is in other data or
    behind a quote in a name.
    """
    path = json.dumps(directory.location)  # as journals contain it
    return f"{path[:-1]}/".encode() in journal or f'"cwd":{path}'.encode() in journal

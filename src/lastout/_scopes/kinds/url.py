"""Addresses: objects and prefixes on any file system that fsspec knows, such as S3 or SFTP.

    "s3://bucket/job/"      all that lies below, now or later
    "s3://bucket/a.csv"     one object, or a directory, that is there

The address is all that is recorded.  By which key a store lets anybody in is found by whoever
cleans: in the environment, in fsspec's and the store's own configuration.

Tested by: tests/shared/test_urls.py, tests/shared/test_kinds.py
"""

from __future__ import annotations

import json
import os
import re
from importlib.util import find_spec

from ..._platform.imports import load
from ..._platform.interpreter import PACKAGE, PREAMBLE, interpreter, why_none
from ...deadline import Deadline
from ...errors import ArtifactMissing, CleanupFailed, CleanupTimeout, UsageError
from . import kernel_objects, paths, tools
from .base import Recipe, Trackable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .base import AnyPath, Data

EXTRA: Final = "lastout[url]"
_CHILD: Final = f"{PREAMBLE} from lastout._scopes.kinds.url_main import main; main(*sys.argv[3:])"
_ADDRESS: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/]*(/.*)?")
_PASSWORD: Final = re.compile(r"://(?:[^/]*:[^/]*@|[^/@]*:.*@)")
_RELATIVE: Final = re.compile(r"(?i:file|local)://[^/]")
_MEMORY: Final = "memory://"  # which another process has one of its own of
_TIME_TO_LOOK: Final = 60.0  # seconds


class UrlKind(Trackable):
    """An object, or all below a prefix, wherever fsspec reaches."""

    name = "url"
    may_need_scope = True

    def adopt(self, location: AnyPath, /) -> Recipe[None]:
        """Take note of an object that is there, or of a prefix, which ends in a slash.

        It is looked for in a process of its own, as it will be removed: what only this one
        knows, such as `storage_options`, does not help whoever cleans.
        """
        if not isinstance(location, str):
            raise TypeError(f"an address is text, not {location!r}")
        _check(location)
        if find_spec("fsspec") is None:
            raise UsageError(f"a url takes fsspec: install {EXTRA}", kind=self.name)
        try:
            found = json.loads(_ask(location, Deadline(_TIME_TO_LOOK), "look", location))
        except CleanupFailed as error:
            raise kernel_objects.refused(self.name, location, _hint(str(error)), None) from error
        if found["top"]:
            raise UsageError(
                f"{location!r} is all of a file system or bucket; name something in it",
                kind=self.name,
            )
        is_prefix = location.endswith("/")
        if found["type"] is None and not is_prefix:
            raise ArtifactMissing(
                f"cannot track the url {location!r}: nothing is there; write it first, or end the"
                " address of what is to come with a slash",
                kind=self.name,
                location=location,
            )
        kept = {} if is_prefix else {"type": found["type"], "inode": found["inode"]}
        return Recipe(location, {**kept, **_maker(location)})

    def clean(self, location: str, data: Data, deadline: Deadline) -> None:
        """Remove it, in a process of its own."""
        _check(location)
        if location.startswith(_MEMORY) and data["process"] != os.getpid():
            return  # it went with its process, or is that one's to remove
        kept = json.dumps([data.get("type"), data.get("inode")])
        try:
            said = _ask(location, deadline, "remove", location, kept).strip()
        except CleanupFailed as error:
            if (hint := _hint("")) and not isinstance(error, CleanupTimeout):
                raise CleanupFailed(f"{error}{hint}", kind=self.name, location=location) from error
            raise
        if said:
            raise paths.replaced(self.name, location, said.partition(": ")[2])


def _check(location: str) -> None:
    """Raise `UsageError` unless that is an address, and nothing in it is secret or a pattern."""
    if _PASSWORD.search(location):
        # Not told either: errors are logged.
        raise UsageError(
            "the address has a password in it, which is not written down; have it in the"
            " environment or the configuration of who cleans",
            kind="url",
        )
    why = None
    if not _ADDRESS.fullmatch(location) or not location.isprintable():
        why = "it must begin with a protocol, such as s3://; a path is tracked as what it is"
    elif _RELATIVE.match(location):
        why = "it is relative, and whoever cleans is somewhere else; write file:///..."
    elif "::" in location:
        why = "it leads through one file system into another; name what is to be removed itself"
    elif set(location) & set("*?["):
        why = "it has a character of patterns in it (* ? [), and more than one thing could go"
    elif {".", ".."} & set(location.split("/")):
        why = "it has . or .. in it"
    if why:
        shown = location.partition("?")[0]  # behind it there may be a key
        raise UsageError(f"{shown!r} cannot be tracked as a url: {why}", kind="url")


def _ask(location: str, deadline: Deadline, *words: str) -> str:
    """What `url_main` says."""
    if location.startswith(_MEMORY):
        here = load("lastout._scopes.kinds.url_main")
        verb, *args = words
        return json.dumps(here.look(*args)) if verb == "look" else str(here.remove(*args))
    python = interpreter()
    if python is None:
        raise CleanupFailed(
            f"the url {location!r} takes a process of its own, and this program {why_none()}",
            kind="url",
            location=location,
        )
    argv = [python, "-P", "-c", _CHILD, "lastout-url", PACKAGE, *words]
    return tools.output_of("url", location, argv, {}, deadline)


def _maker(location: str) -> dict[str, Any]:
    return {"process": os.getpid()} if location.startswith(_MEMORY) else {}


def _hint(text: str) -> str:
    return text if find_spec("fsspec") else f"{text}; install {EXTRA}"

"""Header: the identity of the process that a journal belongs to, read without parsing JSON.

The guardian reads only the first bytes of journals, to save the memory for the modules
that `journal` imports.

Tested by: tests/shared/test_head.py
"""

from __future__ import annotations

from ..._identity import Identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SIZE: Final = 16384  # bytes; enough for the first records, which hold the identity


def identity_in_header(head: bytes, verb: bytes) -> Identity | None:
    """The process that the `join` or `worker` record of a journal names; `None` without it.

    Only the fields that identify the process: pid, start time, boot, namespace.
    """
    # This finds only records, because JSON puts a backslash before a quote within a string.
    at = head.find(b'["%b",' % verb)
    if at < 0:
        return None
    line = head[at:].partition(b"\n")[0]
    try:
        pid, started, boot, namespace = line.split(b",", 6)[2:6]
        return Identity(
            int(pid),
            None if started == b"null" else int(started),
            boot.strip(b'"').decode("ascii"),
            int(namespace.rstrip(b"]")),
        )
    except ValueError:  # torn, or of a newer format, so only its lock says whether it lives
        return None

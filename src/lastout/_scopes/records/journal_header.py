"""Head: which process a journal is of, read without its JSON.

The guardian looks at the first bytes of journals, and is too small to load what
`journal` needs for all of them.

Tested by: tests/shared/test_head.py
"""

from __future__ import annotations

from ..._identity import Identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SIZE: Final = 16384  # bytes; who a member is stands in its first records


def identity_in_header(head: bytes, verb: bytes) -> Identity | None:
    """The process that the `join` or `worker` record of a journal names; `None` without one.

    Only what tells which process it is: pid, start time, boot, namespace.
    """
    # A quote within JSON text has a backslash before it, so this is a record.
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
    except ValueError:  # torn, or of a format to come: then its lock tells
        return None

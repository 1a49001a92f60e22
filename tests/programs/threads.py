"""Start a child from a thread that is not the main one."""

from __future__ import annotations

import json
import sys
import threading

from family import fork_and_unwind, live, register
from say import say


def start(kind: str) -> None:
    """Start a child of this kind that lives as generation 1."""
    import kin

    for status in kin.start(kind, live, 1, []):
        say("ended", 1, status)


if __name__ == "__main__":
    [kind] = json.loads(sys.argv[1])
    register("parent")
    work = fork_and_unwind if kind == "os.fork" else lambda: start(kind)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

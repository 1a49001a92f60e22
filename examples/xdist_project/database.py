"""A database server in forty lines: keys and values, over a Unix socket.

python database.py SOCKET    serves until SIGTERM
"""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import sys
import threading
from pathlib import Path


def note(*words: object) -> None:
    """Write a line to the file that $NOTES names, if it names one: `kill_workers.py` reads it."""
    if "NOTES" in os.environ:
        with open(os.environ["NOTES"], "a", encoding="utf-8") as notes:
            notes.write(" ".join(map(str, words)) + "\n")


def ask(address: str, *command: str) -> object:
    """Send one command to the server, and return its answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(address)
        with connection.makefile("rw", encoding="utf-8") as stream:
            stream.write(json.dumps(command) + "\n")
            stream.flush()
            return json.loads(stream.readline())


class Request(socketserver.StreamRequestHandler):
    """One connection, one command."""

    tables: dict[str, dict[str, str]] = {}  # noqa: RUF012  (the database itself)

    def handle(self) -> None:
        """Answer it."""
        match json.loads(self.rfile.readline()):
            case ["pid"]:
                answer: object = os.getpid()
            case ["put", table, key, value]:
                self.tables.setdefault(table, {})[key] = value
                answer = True
            case ["get", table, key]:
                answer = self.tables.get(table, {}).get(key)
            case ["drop", table]:
                answer = len(self.tables.pop(table, {}))
            case unknown:
                answer = {"unknown": unknown}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


def serve(address: Path) -> None:
    """Serve until SIGTERM."""
    # A name of its own first: whoever finds the address finds a server that listens.
    draft = address.with_suffix(".new")
    with socketserver.ThreadingUnixStreamServer(str(draft), Request) as server:
        stop = threading.Thread(target=server.shutdown)
        signal.signal(signal.SIGTERM, lambda *_: stop.start())
        note("started", os.getpid())
        draft.rename(address)
        server.serve_forever(poll_interval=0.05)
    note("stopped", os.getpid())


if __name__ == "__main__":
    serve(Path(sys.argv[1]))

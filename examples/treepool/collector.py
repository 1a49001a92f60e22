"""Collector: the other end of the workers' connections, which sees each of them closed.

A worker says which file it is at, what it cleaned, and goodbye before it closes.
The kernel closes the connection of a killed one too, but nobody says goodbye then.

    worker:  hello PID  at 17  at 23  hold  ...  cleaned [HOW, NAMES]  goodbye
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from lastout import Report

    OnCleaned = Callable[[int, str, list[str]], object]


class Connection:
    """A worker's end: something that really has to be closed."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(address)
            self._say(f"hello {os.getpid()}")
        except OSError:
            self._socket.close()
            raise

    def at(self, number: int) -> None:
        """Say which file comes next."""
        self._say(f"at {number}")

    def hold(self) -> None:
        """Say that the work is held up, in wait of a signal."""
        self._say("hold")

    def cleaned(self, how: str, report: Report) -> None:
        """Say what was cleaned here."""
        if report.done:
            try:
                self._say(f"cleaned {json.dumps([how, [one.name for one in report.done]])}")
            except BrokenPipeError:
                return  # as in `close`

    def close(self) -> None:
        """Say goodbye and close."""
        with self._socket:
            try:
                self._say("goodbye")
            except BrokenPipeError:
                return  # the collector has gone first: nobody is left to be told

    def _say(self, line: str) -> None:
        self._socket.sendall(line.encode() + b"\n")


class Visit:
    """One connection as the collector saw it.

    Attributes:
        pid: of the worker; 0 before it has said it.
        at: the number of the file that it came to last, or `None`.
        held: whether it waits for a signal in the middle of that.
        state: "open", "closed" (with a goodbye) or "lost" (without).
    """

    def __init__(self, connection: socket.socket, on_cleaned: OnCleaned) -> None:
        self._on_cleaned = on_cleaned
        self.pid = 0
        self.at: int | None = None
        self.held = False
        self.state = "open"
        self.connection = connection
        self._unread = b""

    def read(self) -> bool:
        """Take in what has arrived; False when there will be no more."""
        try:
            data = self.connection.recv(65536)
        except ConnectionResetError:
            data = b""
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            word, _, rest = line.partition(b" ")
            if word == b"hello":
                self.pid = int(rest)
            elif word == b"at":
                self.at = int(rest)
            elif word == b"hold":
                self.held = True
            elif word == b"cleaned":
                self._on_cleaned(self.pid, *json.loads(rest))
            else:
                self.state = "closed"
        if not data and self.state == "open":
            self.state = "lost"
        return bool(data)


class Collector:
    """Listens from the start, and reads on a thread of its own from `start` to `stop`.

    The thread is separate so that a pool can be forked before there is one:
    workers that connect meanwhile wait in the socket's queue.

    Args:
        address: the path of the socket.
        on_change: called with each visit that has begun, is held up or has ended.
        on_cleaned: called with who cleaned, how, and the names of what.
    """

    def __init__(
        self, address: str, on_change: Callable[[Visit], object], on_cleaned: OnCleaned
    ) -> None:
        self.visits: list[Visit] = []
        self._on_change = on_change
        self._on_cleaned = on_cleaned
        self._thread: threading.Thread | None = None
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._stop, self._stopped = socket.socketpair()
        try:
            self._listener.bind(address)
            self._listener.listen(128)
        except OSError:
            self.__exit__(None, None, None)
            raise
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._stopped, selectors.EVENT_READ)

    def start(self) -> None:
        """Begin to read."""
        self._thread = threading.Thread(target=self._serve, name="collector", daemon=True)
        self._thread.start()

    def has_ended(self) -> bool:
        """Whether any visit has ended, however it did."""
        return any(visit.state != "open" for visit in list(self.visits))

    def stop(self) -> None:
        """Read what has arrived; once the workers are gone, that is all there is."""
        self._end_thread()
        while self._attend(0):
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_thread()
        for key in list((self._selector.get_map() or {}).values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
        self._listener.close()
        self._stopped.close()

    def _end_thread(self) -> None:
        self._stop.close()
        if self._thread is not None:
            self._thread.join()

    def _serve(self) -> None:
        while self._stopped.fileno() in self._selector.get_map():
            self._attend(None)

    def _attend(self, seconds: float | None) -> bool:
        """Serve whoever is ready; False if nobody was."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            if key.fileobj is self._stopped:
                self._selector.unregister(self._stopped)
            elif key.fileobj is self._listener:
                connection, _ = self._listener.accept()
                self.visits.append(Visit(connection, self._on_cleaned))
                self._selector.register(connection, selectors.EVENT_READ, self.visits[-1])
            else:
                self._listen_to(key.data)
        return bool(ready)

    def _listen_to(self, visit: Visit) -> None:
        before = visit.pid, visit.held
        goes_on = visit.read()
        if not goes_on:
            # In this order: what a forked worker holds too stays in an epoll
            # set when it is closed here.
            self._selector.unregister(visit.connection)
            visit.connection.close()
        if not goes_on or before != (visit.pid, visit.held):
            self._on_change(visit)

"""Run a server, send it a signal in the middle of a request or job, and see what becomes of it.

start  -->  request begins  -->  signal  -->  reply, log, status
                                              without lastout == with it?
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
from collections import Counter
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest

import lastout
from support import eventually, is_running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _pytest.mark import ParameterSet

    from support import Program

    Start = Callable[..., Program]

HERE = Path(__file__).parent
GUEST = (HERE / "guest.py").read_text()
DEADLINE = 60.0
SUCCESSOR = 10.0  # some servers start none
# Other environments have some of the packages for other tests, and not the time for these.
FRAMEWORKS = "gunicorn"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Server(NamedTuple):
    """A server or queue, and where its user calls lastout.

    Attributes:
        packages: what has to be installed.
        files: its application: names and texts; `guest.begin()` stands at the place for it.
        command: what follows `python`.
        ask: sends it a request, or brings it a job; returns what awaits the reply.
        events: what is sent to whom: "TERM master", "HUP master", ...
        handlers: how often exit handlers run in each process, by event; once where not said.
        processes: how many processes begin.
        settle: seconds until the job sleeps, after it has said that it begins; more for servers
            that a signal hangs while they start, without lastout too.
        quiet: lines of its log that differ from run to run, as a pattern.
    """

    packages: tuple[str, ...]
    files: Mapping[str, str]
    command: tuple[str, ...]
    ask: Callable[[Path, Program], Callable[[], str]]
    events: tuple[str, ...] = ("TERM master", "INT master")
    handlers: Mapping[str, str] = {}
    processes: int = 1
    settle: float = 0.2
    quiet: str = "$^"


class Seen(NamedTuple):
    """What became of the request or job, of the server, and of exit handlers."""

    reply: str
    job: str
    status: int
    log: tuple[str, ...]
    handlers: str


# Of each server, by its identity, and event: once for all that is compared with it.
_without: dict[tuple[int, str], Seen] = {}


def require(server: Server) -> None:
    """Skip the test where something is not installed."""
    for package in (FRAMEWORKS, *server.packages):
        try:
            distribution(package)
        except PackageNotFoundError:
            pytest.skip(f"{package} is not installed; `nox -s frameworks` has it")


def cases(servers: Mapping[str, Server]) -> list[ParameterSet]:
    """A case for each server and each of the events that it is to be compared in."""
    return [
        pytest.param(server, event, id=f"{name} {event}")
        for name, server in servers.items()
        for event in server.events
    ]


def compare(
    server: Server, event: str, guest: str, start: Start, clear: Callable[[], bool]
) -> list[str]:
    """What differs with lastout from what is seen without it; handlers run as the server says.

    Args:
        server: the server or queue.
        event: one of its events.
        guest: how lastout is used: `"signals"` or `"worker"`.
        start: the fixture `program`.
        clear: removes jobs that the run without lastout has left; whether it could.
    """
    key = id(server), event
    if key not in _without:
        _without[key] = run(server, event, "without", start)
    assert clear()
    expected = _without[key]._replace(handlers=server.handlers.get(event, "once"))
    seen = run(server, event, guest, start)
    if "lost" in seen.handlers:
        lastout.reap()  # as whoever comes next does; it has to be enough
    return differences(seen, expected)


def differences(seen: Seen, expected: Seen) -> list[str]:
    """What is not as expected, of the log line by line."""
    pairs = zip(Seen._fields, seen, expected, strict=True)
    found = [f"{n}: {a}, not {b}" for n, a, b in pairs if a != b and n != "log"]
    found += [f"log: + {line}" for line in sorted({*seen.log} - {*expected.log})]
    return found + [f"log: - {line}" for line in sorted({*expected.log} - {*seen.log})]


def request(directory: Path, child: Program) -> Callable[[], str]:
    """Send an HTTP request to the server's Unix socket."""
    path = str(directory / "socket")
    found: list[socket.socket] = []

    def connect() -> bool:
        assert child.running, child._account()
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(DEADLINE)
        try:
            client.connect(path)
        except OSError:
            client.close()
            return False
        found.append(client)
        return True

    assert eventually(connect, DEADLINE, step=0.05), child._account()
    found[0].sendall(REQUEST)
    return partial(_reply, found[0])


def _reply(client: socket.socket) -> str:
    with client:
        read = b""
        try:
            while part := client.recv(65536):
                read += part
        except ConnectionError:
            return "reset"
    head, _, body = read.partition(b"\r\n\r\n")
    return " ".join([*head.decode().split()[1:2], "done" if b"done" in body else "cut"])


def job(_directory: Path, _child: Program) -> Callable[[], str]:
    """Nobody is to be asked: the job is brought, or starts by itself, and nobody waits."""
    return lambda: "-"


def run(server: Server, event: str, guest: str, start: Start) -> Seen:
    """Start it, send what `event` says in the middle of a request, and see how all ends."""
    modules = {"guest": GUEST, **{n.removesuffix(".py"): t for n, t in server.files.items()}}
    command = [word.replace("REDIS", os.environ.get("REDIS", "")) for word in server.command]
    child = start(
        f"import os, sys; os.execv(sys.executable, [sys.executable, *{command!r}])",
        modules=modules,
        env={"GUEST": guest, "PYTHONWARNINGS": "ignore::DeprecationWarning"},
    )
    try:
        seen = _watch(server, event, child)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # its workers too
        raise
    _note([*server.packages, command, event, guest, *seen])
    return seen


def _watch(server: Server, event: str, child: Program) -> Seen:
    if server.ask is request:
        child.wait_for("serving", server.processes, DEADLINE)
    answer = server.ask(child.directory, child)
    child.wait_for("begun", seconds=DEADLINE)
    child.wait_for("serving", server.processes, DEADLINE)
    sleep(server.settle)
    sent, target = event.split()
    worker = int(_said(child, "process")[0])
    family = psutil.Process(child.pid).children(recursive=True)
    os.kill(child.pid if target == "master" else worker, signal.Signals[f"SIG{sent}"])
    reply = answer()
    if child.running and (target == "worker" or sent == "HUP"):
        _wait_for_successor(child, sent, worker, server.processes)
        child.signal(signal.SIGTERM)
    ended = child.end(DEADLINE)
    assert eventually(lambda: not any(map(_runs, family)), DEADLINE), "processes are left"
    done = f"{child.lines.count('begun')} begun, {child.lines.count('done')} done"
    log = _normal((ended.out + ended.err).replace(str(child.directory), "DIR"), server.quiet)
    return Seen(reply, done, ended.status, log, _handlers(child))


def _wait_for_successor(child: Program, sent: str, worker: int, processes: int) -> None:
    """Until the worker has ended and another one serves, or the server has ended with it."""
    wanted = processes + (processes if sent == "HUP" else 1)

    def is_over() -> bool:
        replaced = child.lines.count("serving") >= wanted and not is_running(worker)
        return replaced or not child.running

    eventually(is_over, SUCCESSOR)


def _runs(process: psutil.Process) -> bool:
    return is_running(process.pid) and process.is_running()


def _said(child: Program, word: str) -> list[str]:
    return [line.split()[1] for line in child.lines if line.split()[0] == word]


def _handlers(child: Program) -> str:
    """How often the handlers of each process ran, and the finalizers of `worker()`."""
    ran, finalized = Counter(_said(child, "handler")), Counter(_said(child, "finalizer"))
    if finalized and finalized != ran:
        return f"handlers {ran}, finalizers {finalized}"
    times = {ran[pid] for pid in _said(child, "registered")}
    if not times:
        return "-"
    words = {0: "lost", 1: "once"}
    return " or ".join(sorted(words.get(number, f"{number} times") for number in times))


def _normal(text: str, quiet: str) -> tuple[str, ...]:
    """What is logged, without order and without what differs from run to run."""
    lines = [line for line in text.splitlines() if not line.startswith("  ")]  # of tracebacks
    found = {re.sub(r"(0x[0-9a-f]+|[0-9a-f-]{20,}|\d)+", "#", line).strip() for line in lines}
    return tuple(sorted(line for line in found if line and not re.search(quiet, line)))


def _note(seen: list[object]) -> None:
    """Append it to the file of `$SERVERS_SEEN`, for the table of the docs."""
    if "SERVERS_SEEN" in os.environ:
        with open(os.environ["SERVERS_SEEN"], "a") as file:
            print(json.dumps(seen), file=file)

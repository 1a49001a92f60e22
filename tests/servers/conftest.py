"""What the servers need: short paths, and a Redis on a Unix socket."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one: sanic makes 50 letters more of a socket's path, which may have 107."""
    with tempfile.TemporaryDirectory(prefix="served") as directory:
        yield Path(directory)


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """A Redis whose socket is `$REDIS`; a function that empties it."""
    command = shutil.which("redis-server")
    if command is None:
        pytest.skip("there is no redis-server; on Debian: apt-get install redis-server")
    path = tmp_path / "redis"
    monkeypatch.setenv("REDIS", str(path))
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen([command, *options], stdout=subprocess.DEVNULL) as server:
        try:
            assert eventually(partial(_empty, path), 30)
            yield partial(_empty, path)
        finally:
            server.terminate()


def _empty(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        try:
            client.connect(str(path))
        except OSError:
            return False  # it does not listen yet
        client.sendall(b"FLUSHALL\r\n")
        return client.recv(16) == b"+OK\r\n"

"""Call something as a user whom the file system's permissions hold back, root included."""

from __future__ import annotations

import ctypes
import os
import pickle
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def without_privileges(func: Callable[[], object]) -> BaseException | None:
    """Call `func` in a forked child that gave up root's capabilities; what it raised.

    The user stays the same, so everything still belongs to the caller.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # A test before this one may have left a thread waiting; the child needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        raised: BaseException | None = None
        try:
            _drop_capabilities()
            func()
        except BaseException as error:
            raised = error
        try:
            os.write(writing, pickle.dumps(raised))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    result = pickle.loads(answer)
    assert result is None or isinstance(result, BaseException)
    return result


def _drop_capabilities() -> None:
    if os.geteuid() == 0:
        version_3, none = 0x20080522, (ctypes.c_uint32 * 6)()
        header = (ctypes.c_uint32 * 2)(version_3, 0)
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.capset(header, none) == 0, os.strerror(ctypes.get_errno())

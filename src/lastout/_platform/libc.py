"""Calls of the C library for which Python has no function.

Tested by: tests/shared/test_mounts.py, tests/shared/test_message_queues.py
"""

from __future__ import annotations

import os

from .imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNIQUE_MOUNT_ID = 0x4000  # STATX_MNT_ID_UNIQUE, from Linux 6.8
_STATX_SIZE, _MASK_AT, _MOUNT_ID_AT = 256, 0, 144  # bytes of `struct statx`
_EMPTY_PATH, _NO_SYNC = 0x1000, 0x4000


def call(name: str, *args: object) -> int:
    """Call a function that returns an `int`, -1 for an error.

    Args:
        name: of which name.
        args: numbers that fit an `int`, bytes, or `None` for a null pointer.

    Raises:
        OSError: it says so by `errno`.
        NotImplementedError: there is no such function, or no ctypes to call it with.
    """
    try:
        load("ctypes")
        import ctypes

        function = _find(ctypes, name)
    except (ImportError, OSError) as error:  # built without it, or without libffi
        raise NotImplementedError(f"{name}() cannot be called: {error}") from error
    ctypes.set_errno(0)
    result: int = function(*args)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def unique_mount_id(descriptor: int) -> int | None:
    """The number of the mount that a file lies in, which no other ever has; `None` if unknown.

    The number in `/proc/self/mountinfo` is given to the next mount as soon as this one is gone.
    """
    try:
        load("ctypes")
        import ctypes

        found = ctypes.create_string_buffer(_STATX_SIZE)
        call("statx", descriptor, b"", _EMPTY_PATH | _NO_SYNC, _UNIQUE_MOUNT_ID, found)
    # OSError: also where the program behind it is gone, as for FUSE.
    except (ImportError, OSError, NotImplementedError):
        return None
    mask = ctypes.c_uint32.from_buffer(found, _MASK_AT).value
    if not mask & _UNIQUE_MOUNT_ID:
        return None
    return ctypes.c_uint64.from_buffer(found, _MOUNT_ID_AT).value


def _find(ctypes: Any, name: str) -> Any:
    # glibc before 2.34 has queues in a library of their own.
    for library in (None, "librt.so.1"):
        try:
            return getattr(ctypes.CDLL(library, use_errno=True), name)
        except AttributeError:
            continue
    raise ImportError(f"the C library has no {name}()")

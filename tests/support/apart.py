"""A `/dev/shm` of the tests' own: what others of this machine have in theirs is not looked at.

Who made something there cannot be told from looking at it, and other programs come and go.
So the process that runs the tests takes a mount namespace of its own, with all that it starts.
That needs root; without it the tests look at what the whole machine shares, with patience.
"""

from __future__ import annotations

import ctypes
import os
import sys

_CLONE_NEWNS = 0x20000
_MS_NOSUID, _MS_NODEV, _MS_PRIVATE = 0x2, 0x4, 0x40000


def have_own_shared_memory() -> bool:
    """Whether this process and its children have a /dev/shm of their own from now on."""
    if sys.platform != "linux" or os.geteuid() != 0 or not os.path.isdir("/dev/shm"):
        return False
    libc = ctypes.CDLL(None)
    if libc.unshare(_CLONE_NEWNS):
        return False  # a container may forbid it, to root as well
    # What is mounted on a private one is not seen outside; a directory is none (EINVAL).
    private = ctypes.c_ulong(_MS_PRIVATE)
    if all(libc.mount(None, place, None, private, None) for place in (b"/dev/shm", b"/dev", b"/")):
        return False
    flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV)
    return not libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", flags, b"mode=1777")

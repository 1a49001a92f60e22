"""Looking at an address and removing what is there, by fsspec; the part that needs it.

    python ... look ADDRESS             what is there, as JSON
    python ... remove ADDRESS TYPE      gone, or status 1 and the reason

It runs in a process of its own: a file system may take seconds to import, starts threads, does not
survive a fork, and may hang where nobody answers.

Tested by: tests/shared/test_urls.py
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

REPLACED: Final = "replaced: "  # begins what `remove` prints where it touched nothing
_ROUNDS: Final = 10  # looks at a prefix into which somebody still writes
_AT_ONCE: Final = 1000  # objects; stores take as many in one request
_MAGIC: Final = frozenset("*?[")


def look(address: str) -> dict[str, Any]:
    """What is at an address.

    Returns:
        `"type"`: `"file"`, `"directory"` or `None`; `"inode"`, where the file system has them;
        `"top"`: whether it is all of a file system, or of a bucket.

    Raises:
        Exception: whatever the file system raises.
    """
    fs, path = _opened(address)
    parts = [part for part in path.split("/") if part]
    # Where there is no root the first part is a bucket.
    top = len(parts) < (1 if fs.root_marker else 2)
    try:
        info = fs.info(path)
    except FileNotFoundError:
        return {"type": None, "inode": None, "top": top}
    kind = "directory" if info["type"] == "directory" and not info.get("islink") else "file"
    return {"type": kind, "inode": info.get("ino"), "top": top}


def remove(address: str, kept: str) -> str:
    """Remove an object, or all that lies below a prefix.

    Args:
        address: one that ends in a slash is a prefix.
        kept: of which type it was when it was recorded, and its inode.

    Returns:
        What is there instead; nothing if it is gone now.

    Raises:
        Exception: whatever the file system raises.
    """
    fs, path = _opened(address)
    found = look(address)
    type_then, inode = json.loads(kept)
    if address.endswith("/"):
        if found["type"] == "file" and fs.root_marker:
            return f"{REPLACED}it is a file now"
    elif found["type"] is not None:
        if found["type"] != type_then:
            return f"{REPLACED}it is a {found['type']} now"
        if inode is not None and found["inode"] != inode:
            return f"{REPLACED}it is another one"
        if found["type"] == "file":
            with suppress(FileNotFoundError):
                fs.rm_file(path)
            return ""
    _empty(fs, path)
    _abort_uploads(fs, path)
    return ""


def _opened(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    fs, path = url_to_fs(address, use_listings_cache=False, skip_instance_cache=True)
    fs.invalidate_cache()
    return fs, str(path)


def _empty(fs: Any, path: str) -> None:
    """Remove what lies below, and the directory itself where there are such.

    In a store, which has none, object by object: there `rm(path, recursive=True)` would remove
    the object of the very name too.
    """
    if not fs.root_marker:
        _empty_store(fs, path)
    with suppress(FileNotFoundError):
        if fs.info(path)["type"] == "directory":
            fs.rm(path, recursive=True)


def _empty_store(fs: Any, path: str) -> None:
    for _ in range(_ROUNDS):
        below = _below(fs, path)
        if not below:
            return
        # `rm` takes a name with such characters for a pattern, and drops a slash at its end:
        # then the object beside the prefix would go.
        odd = [one for one in below if _MAGIC & set(one) or one.endswith("/")]
        plain = sorted({*below}.difference(odd))
        for start in range(0, len(plain), _AT_ONCE):
            with suppress(FileNotFoundError):
                fs.rm(plain[start : start + _AT_ONCE])
        for one in odd:
            with suppress(FileNotFoundError):
                fs.rm_file(one)
        fs.invalidate_cache()
    raise OSError(f"of what is below {path!r} more comes as it is removed")


def _below(fs: Any, path: str) -> list[str]:
    try:
        return [one for one in fs.find(path) if one != path]
    except FileNotFoundError:  # the bucket itself
        return []


def _abort_uploads(fs: Any, path: str) -> None:
    """Give up what a writer that was killed had begun to upload to S3, and nobody sees."""
    if not hasattr(fs, "list_multipart_uploads"):
        return
    bucket, _, prefix = path.partition("/")
    try:
        uploads = fs.list_multipart_uploads(bucket)
    except FileNotFoundError:
        return
    for upload in uploads:
        if upload["Key"].startswith(f"{prefix}/"):
            facts = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
            fs.call_s3("abort_multipart_upload", Bucket=bucket, **facts)


def main(verb: str, *args: str) -> None:
    """Do what the command line says, and print what came of it."""
    try:
        print(json.dumps(look(*args)) if verb == "look" else remove(*args))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")

"""How the files of a working folder travel: a line of JSON that lists them, then their contents.

What comes out of a sandbox is read here as hostile. It is never unpacked on a disk, so a name leads nowhere, and only
regular files have a form in which they could be listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from app.errors import BlockError

MAX_FILES = 1_000
MAX_PATH_LENGTH = 500

_ODD = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


def pack(folder: Mapping[str, bytes], **more: Any) -> bytes:
    """Return a folder as one piece.

    Args:
        folder: Files by path.
        more: What else the first line says.
    """
    listed = [[path, len(content)] for path, content in folder.items()]
    return json.dumps({**more, "files": listed}).encode() + b"\n" + b"".join(folder.values())


def unpack(packed: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the folder in a piece that somebody made, and what else its first line says.

    Raises:
        BlockError: It is not of the form.
    """
    head, _, contents = packed.partition(b"\n")
    try:
        said = json.loads(head)
        listed = [(require_plain(path), int(size)) for path, size in said.pop("files")]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise BlockError("What the sandbox returned is not understood") from error
    folder, at = {}, 0
    for path, size in listed[:MAX_FILES]:
        folder[path] = contents[at : at + max(0, size)]
        at += max(0, size)
    return folder, said


def require_plain(path: str) -> str:
    """Return a path that lies below its folder.

    Raises:
        ValueError: It does not, or no file can be called so.
    """
    parts = path.split("/")
    if len(path) > MAX_PATH_LENGTH or _ODD.search(path) or not all(parts) or {".", ".."} & set(parts):
        raise ValueError("Not a plain path")
    return path

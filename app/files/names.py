"""What a file may be called: one name, as any system could store it, that leads nowhere else."""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from urllib.parse import quote

from app.visible import keep_visible

MAX_BYTES = 255

_SEPARATORS = re.compile(r"[/\\]")
_REFUSED = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(?:con|prn|aux|nul|clock\$|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)
"""What Windows takes for a device, with any ending."""


def clean_name(given: str, *, content_type: str = "application/octet-stream") -> str:
    """Return a name that is safe to show, to download and to save, as near to a given one as possible.

    Args:
        given: As somebody has called it.
        content_type: Makes the name when nothing of the given one is left.
    """
    # Compatibility forms first: a full-width solidus or a one-dot leader becomes what it looks like, and is seen.
    text = unicodedata.normalize("NFKC", given.encode("utf-8", "replace").decode())
    text = keep_visible(text, keeps_joiners=False)
    text = _SEPARATORS.split(text)[-1]
    text = _REFUSED.sub("_", text).strip().strip(".").strip()
    if _RESERVED.fullmatch(text.partition(".")[0].strip()):
        text = f"_{text}"
    return _shorten(text) or f"file{mimetypes.guess_extension(content_type) or ''}"


def make_disposition(name: str) -> str:
    """Return a Content-Disposition that has a browser save a file under its name, whatever letters are in it."""
    plain = re.sub(r"[^A-Za-z0-9 ._()\-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _shorten(name: str) -> str:
    if len(name.encode()) <= MAX_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending.encode()) > 20:
        stem, dot, ending = name, "", ""
    tail = f"{dot}{ending}"
    return stem.encode()[: MAX_BYTES - len(tail.encode())].decode(errors="ignore").rstrip(" .") + tail

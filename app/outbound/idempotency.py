"""How an idempotency key travels in a header."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import quote

MAX_LENGTH = 200


def make_header_value(key: str) -> str:
    """Return a key as a header can carry it: plain ASCII of limited length, and still one for each key.

    A key holds the id of a node, which is whatever text its author chose.
    """
    value = quote(key, safe=":", errors="surrogatepass")
    return value if len(value) <= MAX_LENGTH else sha256(key.encode(errors="surrogatepass")).hexdigest()

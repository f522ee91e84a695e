"""Origins of web pages, as browsers send them."""

from __future__ import annotations

from urllib.parse import urlsplit


def parse_origins(text: str) -> tuple[str, ...]:
    """Read origins with commas between them, as browsers send them.

    Raises:
        ValueError: One of them is none: `*` and `null` are not either, and nothing follows the host.
    """
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "*" in origin:
            raise ValueError(f"{origin} is no origin: give https://host or https://host:port")
        if origin != f"{parts.scheme}://{parts.netloc}".lower() or "@" in parts.netloc:
            raise ValueError(
                f"{origin} is not written as browsers send it: https://host or https://host:port"
            )
    return origins

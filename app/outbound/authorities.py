"""Which certificates of servers are believed: those of the public authorities that the machine knows."""

from __future__ import annotations

import functools
import ssl

import httpx2


@functools.cache
def trust_public_authorities() -> ssl.SSLContext:
    """Return what verifies servers, the same for all clients of the process: reading the authorities takes long.

    Nothing of the environment adds to them.
    """
    return httpx2.create_ssl_context(trust_env=False)

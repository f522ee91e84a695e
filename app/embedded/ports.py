"""Ports of this machine: a free one, or a clear refusal."""

from __future__ import annotations

import contextlib
import random
import socket

from app.embedded.processes import EmbeddedStackFailed

_KEPT = range(16_384, 32_768)
"""Below what systems give to outgoing connections, which could take the port of a server that is away for a moment."""
_TRIES = 100


def bind(host: str, port: int, *, setting: str) -> socket.socket:
    """Take a port and return the socket, not yet listening.

    Args:
        host: Address to bind to.
        port: Port; 0 means any free one.
        setting: Name of the setting that decides the port, for the message.

    Raises:
        EmbeddedStackFailed: The port is taken or may not be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    # Connections of a former process that are still closing do not matter; a listener does.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        # Two sockets can be bound to one port as long as neither listens.
        bound.listen(2048)
    except OSError as error:
        bound.close()
        raise EmbeddedStackFailed(
            f"Port {port} on {host} cannot be used ({error.strerror or error}); "
            f"set {setting} to another port, or to 0 for any free one"
        ) from None
    return bound


def choose_port(host: str, port: int, *, setting: str) -> int:
    """Return the port, or any free one for 0, having checked that it can be taken.

    Raises:
        EmbeddedStackFailed: The port is taken or may not be used.
    """
    if port == 0:
        for candidate in random.sample(_KEPT, _TRIES):
            with contextlib.suppress(EmbeddedStackFailed), bind(host, candidate, setting=setting):
                return candidate
    with bind(host, port, setting=setting) as bound:
        return int(bound.getsockname()[1])

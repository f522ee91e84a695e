"""A public internet of one server: whatever host is asked for over https, the stub answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpcore2

from app.outbound.http import OutboundHttp
from tests.unit.blocks.stub_server import StubServer, running_server
from tests.unit.outbound.test_addresses import make_certificate


class _AllToOne(httpcore2.AnyIOBackend):
    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return await super().connect_tcp("127.0.0.1", self._port, timeout, local_address, socket_options)


async def _is_public(host: str, port: int) -> Sequence[str]:
    return ["93.184.216.34"]


@asynccontextmanager
async def public_web() -> AsyncIterator[tuple[OutboundHttp, StubServer]]:
    with TemporaryDirectory() as folder:
        serving, trusting = make_certificate(Path(folder), "everybody.test")
    # The certificate has one name and the internet many.
    trusting.check_hostname = False
    async with running_server(serving) as stub:
        http = OutboundHttp(resolver=_is_public, network=_AllToOne(stub.port), ssl_context=trusting)
        yield http, stub
        await http.aclose()

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.outbound.http import OutboundHttp
from tests.unit.blocks.stub_server import StubServer


@pytest.fixture
async def http(server: StubServer) -> AsyncIterator[OutboundHttp]:
    client = OutboundHttp(allowed_private_hosts=[f"127.0.0.1:{server.port}"], limit_bytes=100_000)
    yield client
    await client.aclose()

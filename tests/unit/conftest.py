"""What unit tests share: a stub server of their own for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.blocks.stub_server import StubServer, running_server


@pytest.fixture
async def server() -> AsyncIterator[StubServer]:
    async with running_server() as stub:
        yield stub

"""Bodies of all sizes on a real server, where a refusal must reach a client that is still sending."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.api.json_body import DRAINED_BYTES, MAX_BYTES
from tests.processes import ServerProcess


@pytest.mark.parametrize("has_length", [True, False])
@pytest.mark.parametrize("size", [MAX_BYTES, MAX_BYTES + 1, DRAINED_BYTES - 1])
async def test_a_large_body_is_answered_and_not_cut_off(
    server: ServerProcess, size: int, has_length: bool
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, size, 100_000):
            yield b"x" * min(100_000, size - start)

    async with server.client("sizes@example.com") as client:
        response = await client.post(
            "/api/graphs",
            content=b"x" * size if has_length else chunks(),
            headers={"Content-Type": "application/json"},
        )
        # 10 MB are read, and are no JSON.
        assert response.status_code == (422 if size == MAX_BYTES else 413)
        assert response.json()["error"]["request_id"]
        assert (await client.get("/api/user")).status_code == 200

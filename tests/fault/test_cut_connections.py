"""The API when a connection breaks in the middle of a call."""

from __future__ import annotations

import asyncio

from temporalio.client import Client

from app.temporal import TemporalTarget, connect
from tests.e2e.rest import get, save, start, sums
from tests.engine import Engine
from tests.fault.harness.proxy import Link, Streams
from tests.rest_api import run_api
from tests.stack import Stack


async def test_a_call_to_temporal_that_breaks_off_is_an_outage(stack: Stack, engine: Engine) -> None:
    is_there = True

    async def reach() -> Streams:
        if not is_there:
            raise ConnectionRefusedError
        host, _, port = stack.temporal_address.partition(":")
        return await asyncio.open_connection(host, int(port))

    async def connect_through(link: Link) -> Client:
        return await connect(TemporalTarget(address=f"127.0.0.1:{link.port}", namespace=stack.namespace))

    async with (
        Link("api-temporal", reach) as link,
        run_api(engine.database_url, lambda: connect_through(link), task_queue=engine.task_queue) as api,
        api.caller() as alice,
    ):
        execution = await start(alice, await save(alice, sums(2)))
        # No worker is there, so the call waits in Temporal.
        pausing = asyncio.create_task(alice.post(f"/api/executions/{execution['id']}/pause"))
        await asyncio.sleep(0.5)
        is_there = False
        assert link.cut() > 0

        refused = await pausing
        assert refused.status_code == 503, refused.text
        is_there = True
        assert (await get(alice, execution["id"]))["status"] == "QUEUED"

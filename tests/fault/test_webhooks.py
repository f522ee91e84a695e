"""A delivery whose API is killed in the middle: the sender repeats it, and in the end there is one execution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from tests.e2e.rest import save
from tests.engine import Engine
from tests.fault.mortals import calling
from tests.processes import ServerProcess
from tests.stack import Stack, eventually
from tests.webhooks import ECHO, Sender, deliver, make_webhook


async def test_an_api_killed_between_a_delivery_and_its_start_leaves_it_to_the_repeat(
    api_process: Callable[[], ServerProcess], stack: Stack, engine: Engine, task_queue: str
) -> None:
    victim = await api_process().ready()
    async with calling(stack, task_queue=task_queue) as owner:
        graph_id = await save(owner, ECHO)
        body = {"graph_id": graph_id, "name": "p", "inputs": {"x": 1}}
        preset_id = (await owner.post("/api/presets", json=body)).json()["id"]
        made = await make_webhook(owner, graph_id, preset_id=preset_id, input="x")
        listed = f"/api/webhooks/{made['id']}/deliveries"
        sender = Sender(scheme="standard", secret=made["secret"])

        async def come() -> list[tuple[int, str]]:
            items = (await owner.get(listed)).json()["items"]
            return [(item["times"], item["outcome"]) for item in items]

        # What it is to be executed with cannot be read: the delivery is written down, and nothing is started.
        async with engine.pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE presets IN ACCESS EXCLUSIVE MODE")
            async with victim.client() as outside:
                url = made["url"].replace("http://api.test", victim.run_info.api_url)
                task = asyncio.create_task(deliver(outside, {**made, "url": url}, sender=sender))
                await eventually(come)
                victim.kill()
                with pytest.raises(httpx.TransportError):
                    await task
        assert await come() == [(1, "")]
        assert (await owner.get("/api/executions")).json()["items"] == []
        again = await deliver(owner, made, sender=sender)
        assert again.status_code == 200, again.text
        assert [item["id"] for item in (await owner.get("/api/executions")).json()["items"]] == [
            again.json()["execution_id"]
        ]
        assert await come() == [(2, "started")]

"""Executions as they are watched at a real server."""

from __future__ import annotations

import json

from websockets.asyncio.client import connect

from tests.e2e.rest import events_of, save, start, sums
from tests.live import streaming
from tests.processes import ServerProcess
from tests.stack import eventually

USER = "live@example.org"


async def test_a_server_tells_of_executions_and_logs_nothing_that_lets_in(equipped: ServerProcess) -> None:
    api_url, token = equipped.run_info.api_url, equipped.token(USER)
    async with equipped.client(USER) as client:
        execution = await start(client, await save(client, sums(3)), wait=60)
        path = f"/api/executions/{execution['id']}"
        ticket = (await client.post(f"{path}/tickets")).json()["ticket"]
        log = await events_of(client, execution["id"])
        async with streaming(client, f"{path}/events") as stream:
            assert [frame.data for frame in await stream.rest()] == log
        del client.headers["Authorization"]
        async with streaming(client, f"{path}/events", ticket=ticket) as stream:
            assert [frame.data for frame in await stream.rest()] == log
    say = {"method": "subscribe_graph_execution", "data": {"graph_exec_id": execution["id"], "after": 0}}
    for query in (f"token={token}", f"ticket={ticket}"):
        async with connect(f"ws{api_url.removeprefix('http')}/ws?{query}", proxy=None) as connection:
            await connection.send(json.dumps(say))
            messages = [json.loads(await connection.recv())]
            while messages[-1]["method"] != "subscription_ended":
                messages.append(json.loads(await connection.recv()))
        assert [message["data"]["event"] for message in messages[1:-1]] == log
    await eventually(lambda: execution["id"] in equipped.log)
    assert token not in equipped.log
    assert ticket not in equipped.log

"""What becomes of reruns when workers die: real processes, real SIGKILL."""

from __future__ import annotations

import os
import signal

import asyncpg

from app.database import plain_url
from tests.e2e.rest import assert_whole_log, get, graph, node, save, start, wait
from tests.processes import ServerProcess
from tests.stack import eventually
from tests.stubs import WebStub

WIDTH = 4_000
ONE_TRY = {"timeout_seconds": 1, "retry": {"max_attempts": 1}}


async def test_a_worker_killed_while_records_are_taken_over_changes_nothing(
    mortal_server: ServerProcess, web: WebStub
) -> None:
    nodes = [
        node("steps", "step_through_items_block", items=list(range(WIDTH))),
        node("each", "store_value_block"),
        node("bad", "send_web_request_block", url=f"{web.url}/hangs/bad", method="GET", metadata=ONE_TRY),
        node("numbers", "agent_output_block", name="numbers"),
        node("out", "agent_output_block", name="y"),
    ]
    links = ["steps.item -> each.input", "each.output -> numbers.value", "bad.response -> out.value"]
    web.hanging.add("bad")
    database = await asyncpg.connect(plain_url(mortal_server.run_info.database_url))
    async with mortal_server.client() as client:
        original = await wait(client, (await start(client, await save(client, graph(nodes, links))))["id"])
        assert original["status"] == "FAILED"
        assert original["stats"]["node_executions"] == 2 * WIDTH + 2
        web.hanging.clear()
        web.requests.clear()
        again = (await client.post(f"/api/executions/{original['id']}/rerun", json={})).json()

        async def reused() -> int:
            count: int = await database.fetchval(
                "SELECT count(*) FROM node_executions WHERE execution_id = $1 AND is_reused", again["id"]
            )
            return count

        copied = await eventually(reused, interval_seconds=0.01)
        for pid in mortal_server.run_info.worker_pids:
            os.kill(pid, signal.SIGKILL)
        assert copied < 2 * WIDTH + 1
        assert (await get(client, again["id"]))["status"] == "RUNNING"

        ended = await wait(client, again["id"], 90)

        assert ended["status"] == "COMPLETED", ended["error"]
        assert ended["outputs"]["numbers"] == list(range(WIDTH))
        assert ended["outputs"]["y"][0]["path"] == "/hangs/bad"
        assert ended["stats"]["node_executions"] == 2 * WIDTH + 3
        assert await reused() == 2 * WIDTH + 1
        assert len(web.requests) == 1
        events = await assert_whole_log(client, again["id"])
        assert [event["type"] for event in events].count("execution_reused") == 1
    await database.close()

"""Nested executions over REST on the real server: outputs, stop, pause, termination."""

from __future__ import annotations

import time
from functools import partial

import httpx
from temporalio.client import Client

from tests.e2e.nesting import family_of, save_two_levels
from tests.e2e.rest import assert_whole_log, get, nodes_of, start, wait
from tests.processes import ServerProcess
from tests.stack import eventually
from tests.stubs import WebStub


async def test_two_levels_each_with_a_record_and_a_log_of_their_own(
    server: ServerProcess, web: WebStub
) -> None:
    async with server.client() as client:
        graph_id = await save_two_levels(client, web.url, "/echo?a", "/echo?b")
        execution = await start(client, graph_id, wait=60)
        assert execution["status"] == "COMPLETED", execution["error"]
        assert execution["outputs"]["y"][0]["query"] == {"b": ""}
        for each in await family_of(client, execution["id"]):
            assert (await get(client, each))["status"] == "COMPLETED"
            await assert_whole_log(client, each)
        assert len(web.requests) == 2


async def test_a_stop_reaches_the_innermost_block_within_five_seconds(
    server: ServerProcess, web: WebStub
) -> None:
    async with server.client() as client:
        execution = await start(client, await save_two_levels(client, web.url, "/delay/60"))
        await eventually(lambda: bool(web.requests))
        family = await family_of(client, execution["id"])
        began = time.monotonic()

        stopped = await client.post(f"/api/executions/{execution['id']}/stop")

        assert stopped.json()["status"] == "CANCELLED"
        for each in family:
            assert (await wait(client, each))["status"] == "CANCELLED"
        # On a machine that has nothing else to do it takes less than five seconds; the block would take sixty.
        assert time.monotonic() - began < 20


async def test_a_pause_goes_down_to_the_innermost_and_a_resume_too(
    server: ServerProcess, web: WebStub
) -> None:
    async with server.client() as client:
        graph_id = await save_two_levels(client, web.url, "/delay/1", "/echo")
        execution = await start(client, graph_id)
        await eventually(lambda: bool(web.requests))
        family = await family_of(client, execution["id"])

        paused = await client.post(f"/api/executions/{execution['id']}/pause")

        assert paused.json()["status"] == "PAUSED"
        for each in family:
            await eventually(partial(has_status, client, each, "PAUSED"))

        async def first_is_done() -> bool:
            rows = (await nodes_of(client, family[-1])).get("r0", [])
            return [row["status"] for row in rows] == ["COMPLETED"]

        await eventually(first_is_done)
        assert len(web.requests) == 1
        await client.post(f"/api/executions/{execution['id']}/resume")
        ended = await wait(client, execution["id"])
        assert ended["status"] == "COMPLETED", ended["error"]
        assert len(web.requests) == 2


async def has_status(client: httpx.AsyncClient, execution_id: str, status: str) -> bool:
    """Answer whether an execution has a status."""
    return bool((await get(client, execution_id))["status"] == status)


async def test_a_nested_execution_that_is_terminated_fails_its_node_truthfully(
    server: ServerProcess, web: WebStub
) -> None:
    async with server.client() as client:
        execution = await start(client, await save_two_levels(client, web.url, "/delay/60"))
        await eventually(lambda: bool(web.requests))
        _, child, grandchild = await family_of(client, execution["id"])
        temporal = await Client.connect(server.run_info.temporal_address)
        await temporal.get_workflow_handle(grandchild).terminate(reason="by hand")

        ended = await wait(client, execution["id"])

        assert ended["status"] == "FAILED"
        assert ended["error"]["code"] == "NESTED_FAILED"
        assert ended["error"]["message"].endswith("Terminated from outside: by hand")
        assert (await get(client, grandchild))["error"]["code"] == "TERMINATED"
        assert (await get(client, child))["error"]["code"] == "NESTED_FAILED"


async def test_what_is_nested_in_a_terminated_execution_is_stopped(
    server: ServerProcess, web: WebStub
) -> None:
    async with server.client() as client:
        execution = await start(client, await save_two_levels(client, web.url, "/delay/60"))
        await eventually(lambda: bool(web.requests))
        _, child, grandchild = await family_of(client, execution["id"])
        temporal = await Client.connect(server.run_info.temporal_address)
        await temporal.get_workflow_handle(execution["id"]).terminate(reason="by hand")

        assert (await wait(client, execution["id"]))["status"] == "FAILED"
        for each in (child, grandchild):
            assert (await wait(client, each))["status"] == "CANCELLED"

"""What becomes of nested executions when workers die: real processes, real SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import httpx

from tests.e2e.nesting import AGENT, family_of, save_two_levels
from tests.e2e.rest import assert_whole_log, graph, link, node, nodes_of, requests, save, start, wait
from tests.processes import ServerProcess
from tests.stack import eventually
from tests.stubs import WebStub

WIDTH = 20


async def test_workers_that_die_lose_and_double_no_nested_execution(
    mortal_server: ServerProcess, web: WebStub
) -> None:
    async with mortal_server.client() as client:
        graph_id = await save_two_levels(client, web.url, "/echo", "/delay/1", "/echo")
        execution = await start(client, graph_id)
        await eventually(lambda: len(web.requests) == 2)
        family = await family_of(client, execution["id"])
        kill_workers(mortal_server)

        ended = await wait(client, execution["id"], 90)

        assert ended["status"] == "COMPLETED", ended["error"]
        assert await family_of(client, execution["id"]) == family
        rows = await nodes_of(client, family[-1])
        assert {name: [row["attempt"] for row in of_node] for name, of_node in rows.items()} == {
            "r0": [1],
            "r1": [2],
            "r2": [1],
            "out": [1],
        }
        for each in family:
            await assert_whole_log(client, each)


async def test_workers_that_die_lose_and_double_none_of_many_nested_executions(
    server_process: Callable[..., ServerProcess], web: WebStub
) -> None:
    server = await server_process(HEARTBEAT_SECONDS="3").ready()
    async with server.client() as client:
        execution = await start(client, await save_fan(client, web.url))
        for _ in range(3):
            kill_workers(server)
            # The next kill is to meet some just begun, some running, some being taken in.
            await asyncio.sleep(1)

        ended = await wait(client, execution["id"], 90)

        assert ended["status"] == "COMPLETED", ended["error"]
        assert ended["outputs"] == {"number": list(range(WIDTH))}
        listed = await client.get("/api/executions", params={"parent_id": execution["id"], "limit": 200})
        assert [row["status"] for row in listed.json()["items"]] == ["COMPLETED"] * WIDTH
        rows = (await nodes_of(client, execution["id"]))["agent"]
        assert {row["nested_execution_id"] for row in rows} == {row["id"] for row in listed.json()["items"]}
        await assert_whole_log(client, execution["id"])


async def save_fan(client: httpx.AsyncClient, url: str) -> str:
    """Save a graph that executes another one once for each of many numbers, which it gives back."""
    inner = requests(url, "/echo")
    inner["nodes"] += [
        node("in", "agent_input_block", name="number"),
        node("given", "agent_output_block", name="given"),
    ]
    inner["links"].append(link("in.result -> given.value"))
    graph_id = await save(client, inner)
    nodes = [
        node("steps", "step_through_items_block", items=list(range(WIDTH))),
        node("agent", AGENT, graph_id=graph_id),
        node("out", "agent_output_block", name="number"),
    ]
    links = ["steps.item -> agent.number", "agent.given -> out.value"]
    return await save(client, graph(nodes, links))


def kill_workers(server: ServerProcess) -> None:
    """Kill whatever workers run now."""
    for pid in server.run_info.worker_pids:
        os.kill(pid, signal.SIGKILL)

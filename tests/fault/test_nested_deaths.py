"""What becomes of nested executions when workers die: real processes, real SIGKILL."""

from __future__ import annotations

from functools import partial

import httpx

from tests.e2e.nesting import AGENT, family_of, save_two_levels
from tests.e2e.rest import assert_whole_log, graph, link, node, nodes_of, requests, save, start, wait
from tests.fault.mortals import MortalWorker
from tests.stack import eventually
from tests.stubs import WebStub

WIDTH = 20


async def test_workers_that_die_lose_and_double_no_nested_execution(
    caller: httpx.AsyncClient, mortal_worker: MortalWorker, web: WebStub
) -> None:
    graph_id = await save_two_levels(caller, web.url, "/echo", "/held", "/echo")
    execution = await start(caller, graph_id)
    await eventually(lambda: len(web.requests) == 2)
    family = await family_of(caller, execution["id"])
    mortal_worker.replace()
    web.let_go.set()

    ended = await wait(caller, execution["id"])

    assert ended["status"] == "COMPLETED", ended["error"]
    assert await family_of(caller, execution["id"]) == family
    rows = await nodes_of(caller, family[-1])
    assert {name: [row["attempt"] for row in of_node] for name, of_node in rows.items()} == {
        "r0": [1],
        "r1": [2],
        "r2": [1],
        "out": [1],
    }
    for each in family:
        await assert_whole_log(caller, each)


async def test_workers_that_die_lose_and_double_none_of_many_nested_executions(
    caller: httpx.AsyncClient, mortal_worker: MortalWorker, web: WebStub
) -> None:
    execution = await start(caller, await save_fan(caller, web.url))
    # The next worker dies with some just begun, some running, some being taken in.
    for made in (1, WIDTH // 3, 2 * WIDTH // 3):
        await eventually(partial(has_made, web, made))
        mortal_worker.replace()

    ended = await wait(caller, execution["id"])

    assert ended["status"] == "COMPLETED", ended["error"]
    assert ended["outputs"] == {"number": list(range(WIDTH))}
    listed = await caller.get("/api/executions", params={"parent_id": execution["id"], "limit": 200})
    assert [row["status"] for row in listed.json()["items"]] == ["COMPLETED"] * WIDTH
    rows = (await nodes_of(caller, execution["id"]))["agent"]
    assert {row["nested_execution_id"] for row in rows} == {row["id"] for row in listed.json()["items"]}
    await assert_whole_log(caller, execution["id"])


def has_made(web: WebStub, count: int) -> bool:
    """Answer whether that many requests have been made at least."""
    return len(web.requests) >= count


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

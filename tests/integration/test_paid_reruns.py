"""What was paid is not paid again when an execution that could not go on is run again, and stays in the books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.admin import id_of
from tests.e2e.rest import get, graph, node, nodes_of, save, wait
from tests.engine import Engine
from tests.ledger import charges, drain, grant, require_sound
from tests.stubs import LanguageModelStub

CALLS = 4
RESERVED = 3
COST = 2
"""Credits of one answer of gpt-4o with these tokens."""


@pytest.fixture
async def worker(engine: Engine, language_model: LanguageModelStub) -> AsyncIterator[None]:
    language_model.usage = {"prompt_tokens": 4_000, "completion_tokens": 0, "total_tokens": 4_000}
    async with engine.worker(llm_base_url=language_model.url):
        yield


async def a_chain(client: httpx.AsyncClient) -> str:
    """Save a graph of paid calls, one after the other; return its id."""
    nodes = [node("n0", "ai_text_generator_block", prompt="p", model="gpt-4o")]
    nodes += [node(f"n{k}", "ai_text_generator_block", model="gpt-4o") for k in range(1, CALLS)]
    return await save(client, graph(nodes, [f"n{k}.response -> n{k + 1}.prompt" for k in range(CALLS - 1)]))


async def run(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """Start something; return it when it has ended."""
    started = await client.post(path, json=body)
    assert started.status_code == 200, started.text
    return await wait(client, started.json()["id"])


async def run_again(client: httpx.AsyncClient, execution: dict[str, Any], **body: Any) -> dict[str, Any]:
    return await run(client, f"/api/executions/{execution['id']}/rerun", **body)


async def require_paid(
    client: httpx.AsyncClient, engine: Engine, execution: dict[str, Any], *nodes: str
) -> None:
    """Check that an execution was charged for these nodes, and says so."""
    paid = await charges(engine.pool, execution["id"])
    rows = await nodes_of(client, execution["id"])
    assert {row["id"] for (row,) in rows.values() if not row["reused"] and row["cost"]} == {
        node_id for node_id, amount in paid.items() if amount
    }
    assert {
        name: paid.get(row["id"]) for name, (row,) in rows.items() if paid.get(row["id"])
    } == dict.fromkeys(nodes, COST)
    assert execution["cost"] == sum(paid.values()) == COST * len(nodes)


async def test_a_rerun_of_what_its_budget_has_ended_pays_for_the_rest_alone_within_its_own_budget(
    engine: Engine, alice: httpx.AsyncClient, worker: None, language_model: LanguageModelStub
) -> None:
    graph_id = await a_chain(alice)
    original = await run(alice, f"/api/graphs/{graph_id}/execute", inputs={}, budget=COST + RESERVED)
    assert (original["status"], original["error"]["code"]) == ("FAILED", "BUDGET_EXCEEDED")
    await require_paid(alice, engine, original, "n0", "n1")

    short = await run_again(alice, original, budget=RESERVED)
    assert (short["status"], short["error"]["code"]) == ("FAILED", "BUDGET_EXCEEDED")
    await require_paid(alice, engine, short, "n2")

    ended = await run_again(alice, short)
    assert (ended["status"], ended["budget"]) == ("COMPLETED", RESERVED)
    await require_paid(alice, engine, ended, "n3")

    assert len(language_model.requests) == CALLS
    assert await require_sound(engine.pool, await id_of(alice)) == 1_000 - CALLS * COST
    assert await get(alice, original["id"]) == original


async def test_a_rerun_of_what_had_no_credits_pays_for_the_rest_alone(
    engine: Engine, alice: httpx.AsyncClient, worker: None, language_model: LanguageModelStub
) -> None:
    graph_id, owner = await a_chain(alice), await id_of(alice)
    await drain(engine.pool, owner)
    await grant(engine.pool, owner, 2 * COST + 1)
    path = f"/api/graphs/{graph_id}/execute"
    original = await run(alice, path, inputs={}, on_insufficient_credits="fail")
    assert (original["status"], original["error"]["code"]) == ("FAILED", "INSUFFICIENT_CREDITS")
    await require_paid(alice, engine, original, "n0", "n1")
    assert await require_sound(engine.pool, owner) == 1

    await grant(engine.pool, owner, 100)
    ended = await run_again(alice, original)
    assert ended["status"] == "COMPLETED", ended["error"]
    await require_paid(alice, engine, ended, "n2", "n3")
    assert len(language_model.requests) == CALLS
    assert await require_sound(engine.pool, owner) == 101 - 2 * COST


async def test_what_a_deleted_execution_has_cost_stays_in_the_books(
    engine: Engine, alice: httpx.AsyncClient, worker: None
) -> None:
    graph_id, owner = await a_chain(alice), await id_of(alice)
    original = await run(alice, f"/api/graphs/{graph_id}/execute", inputs={}, budget=COST + RESERVED)
    again = await run_again(alice, original, budget=100)
    assert (original["status"], again["status"]) == ("FAILED", "COMPLETED")

    async def books() -> list[Any]:
        paths = ["entries", "history", *(f"history?execution_id={one['id']}" for one in (original, again))]
        return [(await alice.get(f"/api/user/credits/{path}")).json()["items"] for path in paths]

    before = await books()
    assert [(item["charged"], item["node_executions"]) for item in before[1][:2]] == [(2 * COST, 2)] * 2
    for execution in (original, again):
        assert (await alice.delete(f"/api/executions/{execution['id']}")).status_code == 204
        assert (await alice.get(f"/api/executions/{execution['id']}")).status_code == 404
    assert await books() == before
    assert (await alice.delete(f"/api/graphs/{graph_id}")).status_code == 204
    assert await books() == before
    assert await require_sound(engine.pool, owner) == 1_000 - CALLS * COST

"""What users see of their credits is what the ledger says, and what the ledger says is what executions have cost."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from app.database import plain_url
from app.graph.status import Status
from app.models.spending import Spend, reserve
from app.models.trial_spending import reserve_trial
from tests.e2e.rest import get, graph, node, nodes_of, save, start, wait
from tests.engine import Engine, use_json
from tests.ledger import add_execution, add_user, charges, grant, note_end, require_sound
from tests.stubs import LanguageModelStub

CREDITS = "/api/user/credits"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    made = await asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=8, init=use_json)
    yield made
    await made.close()


@pytest.fixture
async def worker(engine: Engine, language_model: LanguageModelStub) -> AsyncIterator[None]:
    """A worker that asks the stub, of which an answer by gpt-4o costs 2 credits."""
    language_model.usage = {"prompt_tokens": 4_000, "completion_tokens": 0, "total_tokens": 4_000}
    async with engine.worker(llm_base_url=language_model.url):
        yield


async def pay(pool: asyncpg.Pool[Any], execution_id: str, amount: int, *, owner: str) -> None:
    """Have a call cost this much."""
    spend = Spend(uuid.uuid4())
    async with pool.acquire() as connection:
        await reserve(connection, execution_id, spend, amount, owner=owner)
    await note_end(pool, execution_id, spend, amount, owner=owner)


async def told(pool: asyncpg.Pool[Any], *executions: str) -> list[dict[str, Any]]:
    rows = await pool.fetch(
        "SELECT data FROM execution_events WHERE execution_id = ANY($1::uuid[]) AND type = 'credits_low'",
        executions,
    )
    return [row["data"] for row in rows]


def asks(name: str) -> dict[str, Any]:
    return node(name, "ai_text_generator_block", prompt="p", model="gpt-4o")


async def test_an_execution_is_one_item_with_what_it_has_cost(
    engine: Engine, alice: httpx.AsyncClient, worker: None
) -> None:
    body = graph([asks("a"), asks("b"), node("c", "calculator_block", operation="Add", a=1, b=2)], [])
    graph_id = await save(alice, body)
    first = await wait(alice, (await start(alice, graph_id))["id"])
    trial = await alice.post(
        "/api/blocks/ai_text_generator_block/execute", json={"inputs": {"prompt": "p", "model": "gpt-4o"}}
    )
    assert trial.json()["cost"] == 2
    second = await wait(alice, (await start(alice, graph_id))["id"])

    items = (await alice.get(f"{CREDITS}/history")).json()["items"]
    assert [(item["kind"], item["amount"], item["charged"], item["reserved"]) for item in items] == [
        ("EXECUTION", -4, 4, 0),
        ("BLOCK", -2, 2, 0),
        ("EXECUTION", -4, 4, 0),
        ("GRANT", 1_000, 0, 0),
    ]
    newest = items[0]
    assert newest["execution_id"] == second["id"]
    assert (newest["graph_id"], newest["graph_version"], newest["status"]) == (graph_id, 1, "COMPLETED")
    assert newest["graph_name"] == body["name"]
    assert newest["node_executions"] == 2
    rows = await nodes_of(alice, first["id"])
    by_node = {name: row["cost"] for name, (row,) in rows.items()}
    assert by_node == {"a": 2, "b": 2, "c": 0}
    paid = {row["id"]: row["cost"] for (row,) in rows.values() if row["cost"]}
    assert await charges(engine.pool, first["id"]) == paid
    assert first["cost"] == sum(paid.values()) == (await get(alice, second["id"]))["cost"]

    entries = (await alice.get(f"{CREDITS}/entries?execution_id={first['id']}")).json()["items"]
    assert sorted(entry["kind"] for entry in entries) == ["RESERVE", "RESERVE", "SETTLE", "SETTLE"]
    assert -sum(entry["amount"] for entry in entries) == first["cost"]
    standing = (await alice.get(CREDITS)).json()
    assert standing["credits"] == 1_000 - 10 == 1_000 - standing["spent"]
    assert (standing["reserved"], standing["spent_today"], standing["low_balance"]) == (0, 10, False)


async def test_the_history_is_read_in_pages_and_by_what_is_looked_for(
    engine: Engine, alice: httpx.AsyncClient
) -> None:
    owner = str((await alice.get("/api/user")).json()["id"])
    executions = [await add_execution(engine.pool, owner) for _ in range(3)]
    nested = await add_execution(engine.pool, owner, root_id=executions[1])
    # What happens later to an execution moves it to no other page.
    for execution_id in (*executions, nested, executions[0]):
        await pay(engine.pool, execution_id, 1, owner=owner)

    seen: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await alice.get(f"{CREDITS}/history?limit=1" + (cursor and f"&cursor={cursor}"))).json()
        seen += page["items"]
        cursor = page["next_cursor"]
    assert [item["execution_id"] for item in seen] == [*reversed(executions), None]
    assert [item["charged"] for item in seen] == [1, 2, 2, 0]

    async def ids(query: str) -> list[str]:
        items = (await alice.get(f"{CREDITS}/history?{query}")).json()["items"]
        return [item["execution_id"] for item in items]

    assert await ids(f"execution_id={nested}") == [executions[1]]
    assert await ids(f"execution_id={executions[1]}") == [executions[1]]
    assert await ids("kind=GRANT") == [None]
    assert await ids("kind=EXECUTION") == [*reversed(executions)]
    assert await ids(f"execution_id={uuid.uuid4()}") == []
    assert (await alice.get(f"{CREDITS}/history?cursor=x")).status_code == 422
    assert (await alice.get(f"{CREDITS}/history?kind=SETTLE")).status_code == 422


async def test_what_is_only_reserved_is_shown_as_that(engine: Engine, alice: httpx.AsyncClient) -> None:
    owner = str((await alice.get("/api/user")).json()["id"])
    execution_id, open_spend, failed = await add_execution(engine.pool, owner), *(_spends(2))
    await pay(engine.pool, execution_id, 1, owner=owner)
    async with engine.pool.acquire() as connection:
        for spend in (open_spend, failed):
            await reserve(connection, execution_id, spend, 5, owner=owner)
        await reserve_trial(connection, "open", 3, owner=owner)
    await note_end(engine.pool, execution_id, failed, 0, owner=owner, status=Status.FAILED)

    items = (await alice.get(f"{CREDITS}/history")).json()["items"]
    assert [
        (item["kind"], item["amount"], item["charged"], item["reserved"], item["node_executions"])
        for item in items[:2]
    ] == [("BLOCK", -3, 0, 3, 0), ("EXECUTION", -6, 1, 5, 1)]
    await engine.pool.execute("UPDATE users SET spent_on = spent_on - 1 WHERE id = $1", owner)
    standing = (await alice.get(CREDITS)).json()
    assert (standing["reserved"], standing["spent"], standing["spent_today"]) == (8, 9, 0)


def _spends(number: int) -> list[Spend]:
    return [Spend(uuid.uuid4()) for _ in range(number)]


async def test_nobody_sees_what_others_have_spent(
    engine: Engine, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    owner = str((await alice.get("/api/user")).json()["id"])
    execution_id = await add_execution(engine.pool, owner)
    await pay(engine.pool, execution_id, 1, owner=owner)
    for path in ("history", "entries"):
        assert (await bob.get(f"{CREDITS}/{path}?execution_id={execution_id}")).json()["items"] == []
        assert execution_id not in (await bob.get(f"{CREDITS}/{path}")).text


async def test_budgets_are_set_and_taken_away(alice: httpx.AsyncClient) -> None:
    answer = await alice.put(f"{CREDITS}/budgets", json={"daily": 5, "total": 50})
    assert (answer.json()["daily_budget"], answer.json()["total_budget"]) == (5, 50)
    await alice.put(f"{CREDITS}/budgets", json={"daily": None, "total": 50})
    standing = (await alice.get(CREDITS)).json()
    assert (standing["daily_budget"], standing["total_budget"]) == (None, 50)
    for wrong in (
        {"daily": 1},
        {"daily": -1, "total": 1},
        {"daily": 2**31, "total": 1},
        {"daily": "1", "total": 1},
    ):
        assert (await alice.put(f"{CREDITS}/budgets", json=wrong)).status_code == 422


async def test_a_crossing_is_told_once_however_many_charge_at_once(pool: asyncpg.Pool[Any]) -> None:
    owner = await add_user(pool, 150)
    executions = [await add_execution(pool, owner) for _ in range(4)]
    await asyncio.gather(*(pay(pool, executions[at % 4], 4, owner=owner) for at in range(30)))
    assert await told(pool, *executions) == [{"balance": 98, "threshold": 100}]

    await grant(pool, owner, 100)
    for execution_id in executions:
        await pay(pool, execution_id, 10, owner=owner)
    assert len(await told(pool, *executions)) == 2
    assert await require_sound(pool, owner) == 90


async def test_what_is_only_reserved_tells_nobody_that_credits_run_low(pool: asyncpg.Pool[Any]) -> None:
    owner = await add_user(pool, 105)
    execution_id = await add_execution(pool, owner)
    for _ in range(3):
        spend = Spend(uuid.uuid4())
        async with pool.acquire() as connection:
            await reserve(connection, execution_id, spend, 50, owner=owner)
        await note_end(pool, execution_id, spend, 0, owner=owner, status=Status.FAILED)
    assert await told(pool, execution_id) == []


@pytest.mark.parametrize(("wish", "expected"), [(0, []), (50, [{"balance": 40, "threshold": 50}])])
async def test_users_say_when_they_run_low(
    engine: Engine, alice: httpx.AsyncClient, wish: int, expected: list[Any]
) -> None:
    owner = str((await alice.get("/api/user")).json()["id"])
    await alice.put("/api/user", json={"preferences": {"low_balance": wish}})
    execution_id = await add_execution(engine.pool, owner)
    for amount in (920, 40, 30):
        await pay(engine.pool, execution_id, amount, owner=owner)
    assert await told(engine.pool, execution_id) == expected
    numbers = await engine.pool.fetch(
        "SELECT seq FROM execution_events WHERE execution_id = $1", execution_id
    )
    assert len(numbers) == len({row["seq"] for row in numbers}) == len(expected)
    standing = (await alice.get(CREDITS)).json()
    assert (standing["low_balance"], standing["low_balance_threshold"]) == (bool(wish), wish)

"""Blocks that are called outside executions cost what they would within one, once, and nothing when they fail."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from temporalio.client import Client

from app.database import plain_url
from app.errors import InsufficientCredits, SpendingLimitReached
from app.models.trial_spending import release_lost_trials, reserve_trial, settle_trial
from tests.credentials import keep
from tests.engine import Engine, refuses, use_json
from tests.ledger import add_user, grant, require_sound
from tests.processes import WorkerProcess
from tests.rest_api import RestApi, run_api
from tests.stack import eventually
from tests.stubs import LanguageModelStub


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    made = await asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=8, init=use_json)
    yield made
    await made.close()


@pytest.fixture
async def api(engine: Engine, client: Client) -> AsyncIterator[RestApi]:
    """An API that has the test's block too."""

    async def connect() -> Client:
        return client

    async with run_api(
        engine.database_url, connect, task_queue=engine.task_queue, registry=engine.registry
    ) as running:
        yield running


async def reserve(pool: asyncpg.Pool[Any], trial_id: str, amount: int, owner: str) -> None:
    async with pool.acquire() as connection:
        await reserve_trial(connection, trial_id, amount, owner=owner)


async def settle(pool: asyncpg.Pool[Any], trial_id: str, cost: int, owner: str) -> int:
    async with pool.acquire() as connection:
        return await settle_trial(connection, trial_id, cost, owner=owner)


async def try_probe(
    client: httpx.AsyncClient, engine: Engine, *, key: str | None = None, **inputs: Any
) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    path = f"/api/blocks/{engine.probe.id}/execute"
    return await client.post(path, json={"inputs": inputs}, headers=headers)


async def me(client: httpx.AsyncClient) -> str:
    return str((await client.get("/api/user")).json()["id"])


async def test_a_trial_is_reserved_and_charged_once_however_often_it_is_said(pool: asyncpg.Pool[Any]) -> None:
    owner, trial_id = await add_user(pool, 100), str(uuid.uuid4())
    await asyncio.gather(*(reserve(pool, trial_id, 10, owner) for _ in range(4)))
    assert await require_sound(pool, owner) == 90
    charged = await asyncio.gather(*(settle(pool, trial_id, 25, owner) for _ in range(4)))
    assert charged == [25] * 4
    assert await require_sound(pool, owner) == 75


async def test_a_trial_is_held_to_balance_and_budgets(pool: asyncpg.Pool[Any]) -> None:
    poor, thrifty = await add_user(pool, 5), await add_user(pool, 100, daily_budget=5)
    with pytest.raises(InsufficientCredits) as refused:
        await reserve(pool, "a", 6, poor)
    assert refused.value.details == {"required_credits": 6, "available_credits": 5}
    with pytest.raises(SpendingLimitReached):
        await reserve(pool, "a", 6, thrifty)
    await reserve(pool, "b", 1, poor)
    assert await settle(pool, "b", 9, poor) == 5
    assert (await require_sound(pool, poor), await require_sound(pool, thrifty)) == (0, 100)


async def test_what_a_dead_worker_had_reserved_is_given_back(pool: asyncpg.Pool[Any]) -> None:
    owner = await add_user(pool, 100)
    await reserve(pool, "lost", 10, owner)
    await reserve(pool, "ended", 10, owner)
    await settle(pool, "ended", 10, owner)
    # Somebody else's trial of the same name has ended.
    other = await add_user(pool, 100)
    await reserve(pool, "lost", 10, other)
    await settle(pool, "lost", 10, other)
    await release_lost_trials(pool, older_than=timedelta(hours=1))
    assert await require_sound(pool, owner) == 80
    await release_lost_trials(pool, older_than=timedelta(0))
    assert await require_sound(pool, owner) == 90
    assert await settle(pool, "lost", 10, owner) == 0
    assert await require_sound(pool, owner) == 90


async def test_what_was_reserved_before_a_long_outage_is_given_back(pool: asyncpg.Pool[Any]) -> None:
    owner = await add_user(pool, 100)
    await reserve(pool, "lost", 10, owner)
    async with pool.acquire() as connection, connection.transaction():
        # Only so are entries changed at all.
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(
            "UPDATE credit_entries SET at = now() - interval '40 days' WHERE user_id = $1", owner
        )
    await release_lost_trials(pool, older_than=timedelta(hours=1))
    assert await require_sound(pool, owner) == 100


async def test_a_block_that_is_tried_is_charged_and_one_that_fails_is_not(
    engine: Engine, alice: httpx.AsyncClient, worker: None
) -> None:
    engine.probe.charge(7)
    engine.probe.functions["refuse"] = refuses
    answer = await try_probe(alice, engine, value=1)
    assert answer.json() == {"outputs": {"out": [1]}, "cost": 7}
    assert (await try_probe(alice, engine, value=1, name="refuse")).status_code == 400
    assert await require_sound(engine.pool, await me(alice)) == 1_000 - 7


async def test_a_block_that_cannot_be_paid_is_not_called(
    engine: Engine, alice: httpx.AsyncClient, worker: None
) -> None:
    engine.probe.charge(1_001)
    answer = await try_probe(alice, engine, value=1)
    error = answer.json()["error"]
    assert (answer.status_code, error["error_code"]) == (402, "INSUFFICIENT_CREDITS")
    assert error["details"] == {"required_credits": 1_001, "available_credits": 1_000}
    assert engine.probe.calls == []


async def test_a_trial_that_could_not_be_paid_is_made_under_its_key_when_it_can(
    engine: Engine, alice: httpx.AsyncClient, worker: None
) -> None:
    engine.probe.charge(1_001)
    for _ in range(2):
        refused = await try_probe(alice, engine, key="once", value=1)
        assert (refused.status_code, "Idempotent-Replayed" in refused.headers) == (402, False)
    await grant(engine.pool, await me(alice), 1)
    first, again = [await try_probe(alice, engine, key="once", value=1) for _ in range(2)]

    assert first.json() == {"outputs": {"out": [1]}, "cost": 1_001}
    assert (again.content, again.headers["Idempotent-Replayed"]) == (first.content, "true")
    assert len(engine.probe.calls) == 1
    assert await require_sound(engine.pool, await me(alice)) == 0


@pytest.mark.parametrize("trick", ["credentials_#_id", "credentials_@_id"])
async def test_no_trick_makes_a_trial_on_our_key_free(
    engine: Engine, alice: httpx.AsyncClient, language_model: LanguageModelStub, trick: str
) -> None:
    async with engine.worker(llm_base_url=language_model.url):
        path = "/api/blocks/ai_text_generator_block/execute"
        answer = await alice.post(path, json={"inputs": {"prompt": "p", trick: "x"}})
        if answer.status_code == 200:
            assert answer.json()["cost"] == 1
        kept = await keep(alice, "api_key", "sk-own", provider="openai")
        own = await alice.post(path, json={"inputs": {"prompt": "p", "credentials": {"id": kept}}})
    assert own.json()["cost"] == 1
    assert not any("sk-own" in str(sent) for sent in language_model.authorizations)


async def test_a_worker_that_is_killed_in_a_trial_leaves_no_credit_behind(
    engine: Engine,
    client: Client,
    language_model: LanguageModelStub,
    worker_process: Callable[..., WorkerProcess],
    task_queue: str,
) -> None:
    async def connect() -> Client:
        return client

    language_model.hold_after = 0
    language_model.let_go.clear()
    worker = await worker_process(LLM_BASE_URL=language_model.url).ready()
    async with run_api(engine.database_url, connect, task_queue=task_queue) as api, api.caller() as caller:
        owner = await me(caller)
        body = {"inputs": {"prompt": "p", "model": "gpt-4o"}}
        trial = asyncio.create_task(caller.post("/api/blocks/ai_text_generator_block/execute", json=body))
        await eventually(lambda: len(language_model.requests) == 1)
        worker.kill()
        assert await require_sound(engine.pool, owner) == 1_000 - 3
        trial.cancel()
        await asyncio.wait([trial])
    language_model.let_go.set()
    await release_lost_trials(engine.pool, older_than=timedelta(0))
    assert await require_sound(engine.pool, owner) == 1_000

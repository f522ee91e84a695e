"""Which of the executions that wait for credits could be paid for now: each condition alone, on a real Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from app.database import Sessions, make_engine, plain_url
from app.models.unpaid import find_payable, list_payable
from tests.engine import use_json
from tests.ledger import add_execution, add_user

REQUIRED = 10
OF_USER = "UPDATE users SET {} WHERE id = $1"
OF_EXECUTION = "UPDATE executions SET {} WHERE user_id = $1"
TODAY = "(now() AT TIME ZONE 'UTC')::date"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    made = await asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=4, init=use_json)
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("change", "is_payable"),
    [
        (OF_USER.format("credits = credits"), True),
        (OF_USER.format("credits = credits - 1"), False),
        (OF_USER.format("suspended_at = now()"), False),
        (OF_EXECUTION.format("paused_for = ''"), False),
        (OF_EXECUTION.format("status = 'RUNNING'"), False),
        (OF_EXECUTION.format("ended_at = now()"), False),
        (OF_EXECUTION.format("budget = 0"), True),
        (OF_USER.format("total_budget = 15, spent = 5"), True),
        (OF_USER.format("total_budget = 15, spent = 6"), False),
        (OF_USER.format("total_budget = 99, total_limit = 15, spent = 6"), False),
        (OF_USER.format(f"daily_budget = 15, spent_today = 5, spent_on = {TODAY}"), True),
        (OF_USER.format(f"daily_budget = 15, spent_today = 6, spent_on = {TODAY}"), False),
        (OF_USER.format(f"daily_budget = 99, daily_limit = 15, spent_today = 6, spent_on = {TODAY}"), False),
        # What was spent yesterday is no part of this day, what another process spends tomorrow is.
        (OF_USER.format(f"daily_budget = 15, spent_today = 6, spent_on = {TODAY} - 1"), True),
        (OF_USER.format(f"daily_budget = 15, spent_today = 6, spent_on = {TODAY} + 1"), False),
    ],
)
async def test_what_waits_is_told_when_its_next_call_can_be_paid(
    pool: asyncpg.Pool[Any], database_url: str, change: str, is_payable: bool
) -> None:
    owner, other = [await add_user(pool, REQUIRED) for _ in range(2)]
    waiting, _ = [await add_execution(pool, user_id) for user_id in (owner, other)]
    pause = "status = 'PAUSED', paused_for = 'INSUFFICIENT_CREDITS', required = $2"
    for user_id in (owner, other):
        await pool.execute(OF_EXECUTION.format(pause), user_id, REQUIRED)
    await pool.execute(change, owner)

    engine = make_engine(database_url)
    async with Sessions(engine)() as session, pool.acquire() as connection:
        listed = [str(found) for found in await list_payable(session, owner, limit=9)]
        found = await find_payable(connection, [waiting])
    await engine.dispose()
    assert listed == found == ([waiting] if is_payable else [])

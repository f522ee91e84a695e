"""Whatever is reserved, settled, released, bought, taken and given back, at once and again: the ledger adds up.

`SPENDING_EXAMPLES=500` tries more.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.database import Sessions, make_engine, plain_url
from app.errors import PerdureError
from app.graph.status import Status
from app.models import execution_writes, spending
from app.models.budgets import set_budgets
from app.models.changes import Changes
from app.models.credits import enter
from app.models.entry_kinds import EntryKind
from app.models.execution_writes import Closing
from app.models.recording import record
from app.models.refunds import count_refundable, lock_balance, require_refundable
from app.models.spending import Spend
from app.models.trial_spending import reserve_trial, settle_trial
from tests.engine import use_json
from tests.ledger import add_execution, add_user, note_end, require_sound

EXAMPLES = int(os.environ.get("SPENDING_EXAMPLES", "12"))
CREDITS = 60
BUDGET = 50
"""Of the first execution, with the one that is nested in it."""
CALLS = 7
"""The last two are turns of one node execution."""

Step = tuple[Any, ...]

_which, _amount = st.integers(0, CALLS - 1), st.integers(1, 30)
STEPS = st.one_of(
    st.tuples(st.just("reserve"), _which, _amount),
    st.tuples(st.just("reserve"), _which, _amount),
    st.tuples(st.just("settle"), _which, st.integers(0, 45)),
    st.tuples(st.just("settle"), _which, st.integers(0, 45)),
    st.tuples(st.just("fail"), _which),
    st.tuples(st.just("lose"), _which),
    st.tuples(st.just("end"), st.integers(0, 2)),
    st.tuples(st.just("reserve_trial"), st.integers(0, 1), _amount),
    st.tuples(st.just("settle_trial"), st.integers(0, 1), st.integers(0, 45)),
    st.tuples(st.just("enter"), st.integers(0, 2), st.integers(-40, 40), st.booleans()),
    st.tuples(st.just("refund"), st.integers(0, 2), st.integers(0, 1)),
    st.tuples(st.just("budgets"), st.none() | st.integers(0, 80), st.none() | st.integers(0, 80)),
)
AT_ONCE = st.lists(STEPS, min_size=1, max_size=5)


@dataclass
class Books:
    """A user with executions, and what may be done to their credits."""

    pool: asyncpg.Pool[Any]
    sessions: Sessions
    owner: str
    executions: list[str]
    spends: list[Spend] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spends = [Spend(uuid.uuid4()) for _ in range(CALLS - 1)]
        self.spends.append(self.spends[-1]._replace(turn=2))

    def execution_of(self, call: int) -> str:
        """Return the execution that makes a call; both turns of a conversation are of the same."""
        return self.executions[min(call, CALLS - 2) % len(self.executions)]

    async def do(self, step: Step) -> None:
        """Do one thing, which may be refused."""
        kind, *given = step
        try:
            await getattr(self, kind)(*given)
        except PerdureError:
            return

    async def reserve(self, call: int, amount: int) -> None:
        async with self.pool.acquire() as connection:
            await spending.reserve(
                connection, self.execution_of(call), self.spends[call], amount, owner=self.owner
            )

    async def settle(self, call: int, cost: int) -> None:
        status = Status.RUNNING if call == CALLS - 2 else Status.COMPLETED
        await note_end(
            self.pool, self.execution_of(call), self.spends[call], cost, owner=self.owner, status=status
        )

    async def fail(self, call: int) -> None:
        await note_end(
            self.pool, self.execution_of(call), self.spends[call], 0, owner=self.owner, status=Status.FAILED
        )

    async def lose(self, call: int) -> None:
        changes = Changes(unpaid=[self.spends[call].node_execution_id])
        async with self.pool.acquire() as connection:
            await record(connection, self.execution_of(call), changes, owner=self.owner)

    async def end(self, number: int) -> None:
        execution_id = self.executions[number]
        async with self.pool.acquire() as connection, connection.transaction():
            await execution_writes.lock_open_execution(connection, execution_id, owner=self.owner)
            closing = Closing(Status.CANCELLED, None, {}, {})
            await execution_writes.close_execution(
                connection, execution_id, closing, Changes(), owner=self.owner
            )

    async def reserve_trial(self, number: int, amount: int) -> None:
        async with self.pool.acquire() as connection:
            await reserve_trial(connection, str(number), amount, owner=self.owner)

    async def settle_trial(self, number: int, cost: int) -> None:
        async with self.pool.acquire() as connection:
            await settle_trial(connection, str(number), cost, owner=self.owner)

    async def enter(self, number: int, amount: int, goes_as_far_as_it_can: bool) -> None:
        kind = EntryKind.TOP_UP if amount > 0 else EntryKind.ADJUST
        async with self.sessions.begin() as session:
            await enter(
                session,
                self.owner,
                key=f"given:{number}",
                kind=kind,
                amount=amount,
                goes_as_far_as_it_can=goes_as_far_as_it_can,
            )

    async def refund(self, number: int, key: int) -> None:
        execution_id = uuid.UUID(self.executions[number])
        async with self.sessions.begin() as session:
            named = await require_refundable(session, self.owner, execution_id=execution_id)
            await lock_balance(session, self.owner)
            left = await count_refundable(session, self.owner, named)
            if not left:
                return
            await enter(
                session,
                self.owner,
                key=f"refund:{number}:{key}",
                kind=EntryKind.REFUND,
                amount=(left + 1) // 2,
                details={"execution_id": str(execution_id)},
            )

    async def budgets(self, daily: int | None, total: int | None) -> None:
        async with self.sessions.begin() as session:
            await set_budgets(session, self.owner, daily=daily, total=total)

    async def standing(self) -> list[Any]:
        """Return the whole ledger, and what is counted beside it."""
        counted = await self.pool.fetch(
            "SELECT credits, reserved, spent FROM users WHERE id = $1 UNION ALL "
            "(SELECT committed, reserved, 0 FROM executions WHERE user_id = $1 ORDER BY id)",
            self.owner,
        )
        entries = await self.pool.fetch(
            "SELECT key, kind, amount, balance FROM credit_entries WHERE user_id = $1 ORDER BY id", self.owner
        )
        return [tuple(row) for row in (*counted, *entries)]

    async def list_repeats(self) -> list[Step]:
        """Return what would enter once more all that is entered, with other amounts."""
        rows = await self.pool.fetch("SELECT key FROM credit_entries WHERE user_id = $1", self.owner)
        keys = {row["key"] for row in rows}
        calls: dict[str, tuple[tuple[str, Any], ...]] = {
            spend.name: (("reserve", call), ("settle", call)) for call, spend in enumerate(self.spends)
        }
        calls |= {f"trial:{k}": (("reserve_trial", str(k)), ("settle_trial", str(k))) for k in range(2)}
        repeats: list[Step] = []
        for name, (again, ending) in calls.items():
            repeats += [(*again, 1)] if f"reserve:{name}" in keys else []
            repeats += [(*ending, 45), (*ending, 0)] if f"close:{name}" in keys else []
        repeats += [
            ("enter", k, amount, True) for k in range(3) for amount in (9, -9) if f"given:{k}" in keys
        ]
        return repeats + [
            ("refund", k, at) for k in range(3) for at in range(2) if f"refund:{k}:{at}" in keys
        ]


async def require_exact(books: Books) -> None:
    """Check that each execution counts what is reserved for it, and that no more was given back than charged."""
    await require_sound(books.pool, books.owner)
    rows = await books.pool.fetch(
        """
        SELECT e.reserved, coalesce((
            SELECT -sum(amount) FROM credit_entries c WHERE c.execution_id = e.id AND kind = 'RESERVE' AND NOT EXISTS (
                SELECT FROM credit_entries d WHERE d.user_id = c.user_id AND d.key = 'close:' || substr(c.key, 9)
            )
        ), 0) AS open
        FROM executions e WHERE user_id = $1
        """,
        books.owner,
    )
    assert [row["reserved"] for row in rows] == [row["open"] for row in rows]
    kept = await books.pool.fetchval(
        "SELECT coalesce(sum((details ->> 'charged')::bigint) FILTER (WHERE execution_id IS NOT NULL), 0)"
        " - coalesce(sum(amount) FILTER (WHERE kind = 'REFUND'), 0) FROM credit_entries WHERE user_id = $1",
        books.owner,
    )
    assert kept >= 0


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    made = await asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=5, init=use_json)
    yield made
    await made.close()


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = make_engine(database_url, pool_size=3)
    yield Sessions(engine)
    await engine.dispose()


# Both fixtures only connect: examples share no rows, each has a user of its own. What breaks in one order of what
# happens at once may not in the next, so nothing is made smaller.
@settings(
    max_examples=EXAMPLES,
    phases=(Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(turns=st.lists(AT_ONCE, min_size=3, max_size=14))
async def test_the_ledger_adds_up_whatever_is_done_at_once_and_a_repeat_of_all_changes_nothing(
    pool: asyncpg.Pool[Any], sessions: Sessions, turns: Sequence[Sequence[Step]]
) -> None:
    owner = await add_user(pool, CREDITS)
    root = await add_execution(pool, owner, budget=BUDGET)
    executions = [root, await add_execution(pool, owner, root_id=root), await add_execution(pool, owner)]
    books = Books(pool, sessions, owner, executions)
    for steps in turns:
        await asyncio.gather(*map(books.do, steps))
        await require_exact(books)

    before = await books.standing()
    await asyncio.gather(*map(books.do, 2 * await books.list_repeats()))
    assert await books.standing() == before

    for step in [*(("end", number) for number in range(3)), *(("settle_trial", k, 0) for k in range(2))]:
        await books.do(step)
    await require_exact(books)
    assert await pool.fetchval("SELECT reserved FROM users WHERE id = $1", owner) == 0

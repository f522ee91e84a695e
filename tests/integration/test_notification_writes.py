"""What is written down to be told, and what goes together: on a real Postgres, without Temporal."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import asyncpg
import pytest

from app import database
from app.database import plain_url
from app.encryption.credentials import Sealed
from app.errors import Conflict
from app.models import deliveries, notifications, trial_spending
from app.models.credentials import SealedSecret
from app.models.deliveries import AttemptRecord, DeliveryKey
from app.models.notification_events import DeliveryStatus
from app.models.tables.notifications import Notification
from app.notifying.contents import make_content
from app.tenants import working_for
from tests.engine import use_json
from tests.ledger import add_execution, add_user
from tests.notification_rows import (
    ASKED,
    ENDED,
    FAILED,
    add_delivery,
    add_notification,
    add_webhook,
    find,
    keys_of,
    tell,
    told,
)
from tests.stack import eventually

_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = $1"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    made = await asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=4, init=use_json)
    yield made
    await made.close()


async def add_nested(pool: asyncpg.Pool[Any], owner: str, parent_id: str) -> str:
    nested = await add_execution(pool, owner)
    await pool.execute(
        "UPDATE executions SET parent_id = $2, parent_node = 0, parent_n = 1 WHERE id = $1", nested, parent_id
    )
    return nested


class TestWhatIsWritten:
    async def test_a_graph_is_told_of_what_happens_however_deep_inside_it(
        self, pool: asyncpg.Pool[Any]
    ) -> None:
        owner = await add_user(pool, 0)
        outermost = await add_execution(pool, owner)
        middle = await add_nested(pool, owner, outermost)
        inner = await add_nested(pool, owner, middle)
        elsewhere = await add_execution(pool, owner)
        graphs = {
            each: await pool.fetchval("SELECT graph_id FROM executions WHERE id = $1", each)
            for each in (outermost, middle, inner, elsewhere)
        }
        made = {each: await add_notification(pool, owner, graph_id=graphs[each]) for each in graphs}
        await tell(pool, inner, ASKED)
        await tell(pool, inner, FAILED, 2)
        await tell(pool, outermost, ENDED)

        assert await told(pool, made[inner]) == ["review.requested"], "its end is that of the outermost"
        assert await told(pool, made[middle]) == ["review.requested"]
        assert await told(pool, made[outermost]) == ["review.requested", "execution.completed"]
        assert await told(pool, made[elsewhere]) == []

    async def test_an_execution_ends_while_its_notification_is_deleted(self, pool: asyncpg.Pool[Any]) -> None:
        owner = await add_user(pool, 0)
        doomed, execution_id = await add_notification(pool, owner), await add_execution(pool, owner)
        kept = await add_notification(pool, owner)
        async with pool.acquire() as deleting, pool.acquire() as ending:
            begun = deleting.transaction()
            await begun.start()
            await deleting.execute("DELETE FROM notifications WHERE id = $1", doomed)
            telling = asyncio.create_task(tell(ending, execution_id, ENDED))
            await eventually(partial(pool.fetchval, _WAITING, ending.get_server_pid()))
            await begun.commit()
            await telling
        assert await told(pool, kept) == ["execution.completed"]

    async def test_a_call_outside_executions_that_leaves_few_credits_is_told(
        self, pool: asyncpg.Pool[Any]
    ) -> None:
        owner, other = await add_user(pool, 105), await add_user(pool, 105)
        made, of_other = await add_notification(pool, owner), await add_notification(pool, other)
        of_a_graph = await add_notification(pool, owner, graph_id=uuid.uuid4())
        off = await add_notification(pool, owner, is_active=False)
        async with pool.acquire() as connection:
            for trial_id, cost in (("a", 4), ("b", 4), ("c", 4)):
                await trial_spending.reserve_trial(connection, trial_id, cost, owner=owner)
                await trial_spending.settle_trial(connection, trial_id, cost, owner=owner)
        assert await told(pool, made) == ["credits.low"], "once"
        assert [await told(pool, each) for each in (of_other, of_a_graph, off)] == [[], [], []]
        [key] = await keys_of(pool, owner)
        data = make_content(await find(pool, key), base_url="")["data"]
        assert (data["balance"], data["threshold"]) == (97, 100)

    async def test_of_an_execution_that_was_deleted_no_result_is_made_up(
        self, pool: asyncpg.Pool[Any]
    ) -> None:
        owner = await add_user(pool, 0)
        await add_notification(pool, owner, includes_outputs=True)
        execution_id = await add_execution(pool, owner)
        await tell(pool, execution_id, ENDED)
        await pool.execute(
            "UPDATE executions SET deleted_at = now(), status = 'COMPLETED' WHERE id = $1", execution_id
        )
        [key] = await keys_of(pool, owner)
        data = make_content(await find(pool, key), base_url="")["data"]
        assert (data["execution_id"], data["status"]) == (execution_id, "COMPLETED")
        assert data.keys().isdisjoint({"outputs", "error", "cost"})

    async def test_outputs_that_are_packed_small_are_not_loaded_either(self, pool: asyncpg.Pool[Any]) -> None:
        owner = await add_user(pool, 0)
        await add_notification(pool, owner, includes_outputs=True)
        execution_id = await add_execution(pool, owner)
        await tell(pool, execution_id, ENDED)
        [key] = await keys_of(pool, owner)
        for times, is_loaded in ((10, True), (2_000, False)):
            outputs = {"text": [["x" * 1_000]] * times}
            await pool.execute("UPDATE executions SET outputs = $2 WHERE id = $1", execution_id, outputs)
            execution = (await find(pool, key)).execution
            assert execution is not None
            assert (execution.outputs is not None) is is_loaded

    async def test_somebody_elses_delivery_is_like_none(self, pool: asyncpg.Pool[Any]) -> None:
        owner, other = await add_user(pool, 0), await add_user(pool, 0)
        key = await add_delivery(pool, owner, await add_notification(pool, owner))
        assert await deliveries.find_delivery(pool, DeliveryKey(key.id, other), outputs_bytes=0) is None

    @pytest.mark.parametrize(
        ("reason", "expected"),
        [
            ("INSUFFICIENT_CREDITS", ["credits.exhausted"]),
            ("SPENDING_LIMIT_REACHED", ["credits.exhausted"]),
            ("BY_HAND", []),
        ],
    )
    async def test_a_pause_is_told_when_nothing_more_may_be_spent(
        self, pool: asyncpg.Pool[Any], reason: str, expected: list[str]
    ) -> None:
        owner = await add_user(pool, 0)
        made = await add_notification(pool, owner, events=["credits.exhausted"])
        await tell(pool, await add_execution(pool, owner), "execution_paused", reason=reason)
        assert await told(pool, made) == expected


class TestWhatIsFound:
    async def test_those_that_nobody_has_tried_begin_and_those_that_should_have_been_are_taken_once(
        self, pool: asyncpg.Pool[Any]
    ) -> None:
        owner = await add_user(pool, 0)
        await add_notification(pool, owner)
        execution_id = await add_execution(pool, owner)
        for seq in (1, 2, 3):
            await tell(pool, execution_id, FAILED, seq)
        new, tried, overdue = keys = await keys_of(pool, owner)
        await pool.execute("UPDATE deliveries SET attempts = 1 WHERE id = $1", tried.id)
        await pool.execute(
            "UPDATE deliveries SET next_at = now() - interval '1 minute' WHERE id = $1", overdue.id
        )
        assert {*await deliveries.list_new(pool, execution_id, owner=owner)} == {new, overdue}
        for expected in ([overdue], []):
            left = await deliveries.take_left(pool, quiet_seconds=30, limit=10_000)
            assert [key for key in left if key in keys] == expected

    async def test_of_many_attempts_the_latest_are_kept(self, pool: asyncpg.Pool[Any]) -> None:
        owner = await add_user(pool, 0)
        key = await add_delivery(pool, owner, await add_notification(pool, owner))
        await pool.execute(
            "UPDATE deliveries SET log = (SELECT json_agg(n) FROM generate_series(1, 50) AS n) WHERE id = $1",
            key.id,
        )
        async with pool.acquire() as connection:
            latest = AttemptRecord(datetime.now(UTC), 0.1, error="the latest")
            assert await deliveries.record_attempt(connection, key, latest, status=DeliveryStatus.PENDING)
        log = await pool.fetchval("SELECT log FROM deliveries WHERE id = $1", key.id)
        assert (len(log), log[0], log[-1]["error"]) == (50, 2, "the latest")

    async def test_an_owner_has_no_more_than_so_many(
        self, pool: asyncpg.Pool[Any], database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(notifications, "MOST_NOTIFICATIONS", 1)
        owner = await add_user(pool, 0)
        await add_notification(pool, owner)
        now = datetime.now(UTC)
        more = Notification(
            id=uuid.uuid4(),
            user_id=owner,
            name="more",
            channel="email",
            target="",
            events=[],
            created_at=now,
            updated_at=now,
        )
        kept = database.make_engine(database_url)
        with working_for(owner):
            async with database.Sessions(kept).begin() as session:
                with pytest.raises(Conflict):
                    await notifications.insert_notification(session, more)
        await kept.dispose()

    async def test_only_what_has_ended_begins_anew(self, pool: asyncpg.Pool[Any], database_url: str) -> None:
        owner = await add_user(pool, 0)
        key = await add_delivery(pool, owner, await add_notification(pool, owner))
        kept = database.make_engine(database_url)
        with working_for(owner):
            async with database.Sessions(kept).begin() as session:
                with pytest.raises(Conflict):
                    await notifications.reopen_delivery(session, owner, uuid.UUID(key.id))
        await kept.dispose()

    async def test_a_secret_that_was_changed_meanwhile_is_not_put_back_under_another_key(
        self, pool: asyncpg.Pool[Any], database_url: str
    ) -> None:
        owner = await add_user(pool, 0)
        made = uuid.UUID(await add_webhook(pool, owner, "https://example.org/"))
        kept = database.make_engine(database_url)
        with working_for(owner):
            async with database.Sessions(kept).begin() as session:
                row = await notifications.require_notification(session, owner, made)
                assert row.secret is not None
                sealed, found = Sealed("new", b"under another key"), Sealed(row.key_id, row.secret)
                for old, expected in ((Sealed("old", b"of before"), found), (found, sealed)):
                    await notifications.replace_sealed(session, SealedSecret(made, owner, old), sealed)
                    await session.refresh(row)
                    assert (row.key_id, row.secret) == (expected.key_id, expected.content)
        await kept.dispose()

"""What is sent, together or for itself, and what becomes of it: on a real Postgres, without Temporal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from app.database import plain_url
from app.models import deliveries, mailings, notification_writes
from app.models.deliveries import AttemptRecord
from app.models.notification_events import DeliveryStatus
from app.notifying.rules import DeliveryRules
from app.telemetry.series import WITHHELD
from app.telemetry.tallies import Tallies
from tests.engine import Engine, use_json
from tests.ledger import add_execution, add_user
from tests.notification_rows import (
    FAILED,
    add_delivery,
    add_notification,
    add_webhook,
    attempt_at,
    counted,
    find,
    keys_of,
    make_delivering,
    tell,
)
from tests.stack import eventually
from tests.stubs import MailStub, WebStub


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    made = await asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=4, init=use_json)
    yield made
    await made.close()


class TestManyEmails:
    async def test_after_many_those_of_an_hour_are_told_together(
        self, engine: Engine, pool: asyncpg.Pool[Any]
    ) -> None:
        owner = await add_user(pool, 0)
        await pool.execute("UPDATE users SET email = 'me@example.org' WHERE id = $1", owner)
        made = await add_notification(pool, owner)
        first, *later = [await add_execution(pool, owner) for _ in range(4)]
        await tell(pool, first, FAILED)
        async with MailStub("perdure", "a password") as mail:
            hurried = make_delivering(
                engine, pool, mail, DeliveryRules(mails_a_day=1, mail_pause=timedelta(hours=1))
            )
            [key] = await keys_of(pool, owner)
            assert (await attempt_at(hurried, key)).is_over
            for execution_id in later:
                await tell(pool, execution_id, FAILED)
            _, *waiting = await keys_of(pool, owner)
            put_off = await attempt_at(hurried, waiting[0])
            assert (put_off.is_over, put_off.is_attempt) == (False, False)
            assert 3_500 < put_off.wait_seconds < 3_700
            assert len(mail.messages) == 1

            tallies = Tallies()
            patient = make_delivering(
                engine, pool, mail, DeliveryRules(mails_a_day=1, mail_pause=timedelta()), tallies=tallies
            )
            for each in waiting:
                assert (await attempt_at(patient, each)).is_over
            [_, letter] = mail.messages
        assert letter["Subject"] == "Execution failed, and 2 more"
        payload = letter.get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert all(execution_id in payload.decode() for execution_id in later)
        rows = await pool.fetch("SELECT status, attempts, log FROM deliveries WHERE user_id = $1", owner)
        assert {(row["status"], row["attempts"], len(row["log"])) for row in rows} == {("delivered", 1, 1)}
        assert counted(tallies) == len(later), "each is told"
        pause = timedelta(hours=1)
        found = [
            await mailings.find_pause(pool, made, owner, most_a_day=most, pause=pause) for most in (2, 3)
        ]
        assert [is_much for is_much, _ in found] == [True, False], "two e-mails have told of four"

    async def test_a_test_waits_for_no_hour(self, engine: Engine, pool: asyncpg.Pool[Any]) -> None:
        owner = await add_user(pool, 0)
        await pool.execute("UPDATE users SET email = 'me@example.org' WHERE id = $1", owner)
        made = await add_notification(pool, owner)
        await tell(pool, await add_execution(pool, owner), FAILED)
        [waiting] = await keys_of(pool, owner)
        key = await add_delivery(pool, owner, made)
        async with MailStub("perdure", "a password") as mail:
            delivering = make_delivering(engine, pool, mail, DeliveryRules(mails_a_day=0))
            assert (await attempt_at(delivering, key)).is_over
            [letter] = mail.messages
        assert letter["Subject"] == "A test", "it takes nothing along"
        assert (await find(pool, waiting)).status is DeliveryStatus.PENDING

    async def test_what_has_ended_meanwhile_goes_with_no_other(self, pool: asyncpg.Pool[Any]) -> None:
        owner = await add_user(pool, 0)
        made = await add_notification(pool, owner)
        key, ended = [await add_delivery(pool, owner, made) for _ in range(2)]
        along = await mailings.list_waiting(pool, made, key, limit=10)
        assert [each.id for each in along] == [ended.id], "not itself"
        sent = AttemptRecord(datetime.now(UTC), 0.1)
        async with pool.acquire() as connection:
            assert await deliveries.record_attempt(connection, ended, sent, status=DeliveryStatus.FAILED)
            assert not await deliveries.record_attempt(
                connection, ended, sent, status=DeliveryStatus.DELIVERED
            )
            await mailings.end_along(connection, owner, along, sent)
        row = await pool.fetchrow("SELECT status, attempts FROM deliveries WHERE id = $1", ended.id)
        assert row is not None
        assert tuple(row) == ("failed", 1)


class TestReceivers:
    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("/large/300000", "larger than 262,144 bytes"),
            ("/held", "did not answer within 0.3 s"),
            ("/redirect?to=/echo", "answered 30"),
            ("/status/503", "answered 503"),
        ],
        ids=["endless", "slow", "elsewhere", "broken"],
    )
    async def test_what_is_no_answer_is_tried_again_and_its_reason_kept(
        self, engine: Engine, pool: asyncpg.Pool[Any], path: str, said: str
    ) -> None:
        owner = await add_user(pool, 0)
        rules = DeliveryRules(attempt_seconds=0.3) if path == "/held" else DeliveryRules()
        async with WebStub() as stub:
            key = await add_delivery(pool, owner, await add_webhook(pool, owner, f"{stub.url}{path}"))
            result = await attempt_at(make_delivering(engine, pool, None, rules), key)
            stub.let_go.set()
        assert (result.is_over, result.is_attempt) == (False, True)
        assert 3 < result.wait_seconds < 7
        row = await pool.fetchrow("SELECT status, attempts, log FROM deliveries WHERE id = $1", key.id)
        assert row is not None
        assert (row["status"], row["attempts"]) == ("pending", 1)
        assert said in row["log"][0]["error"]
        assert path not in str(row["log"]), "a URL may be a secret"

    @pytest.mark.parametrize(
        "url", ["https://localhost:1/x", "https://[::1]:1/x", "https://169.254.169.254/x"]
    )
    async def test_one_at_a_private_address_is_not_reached(
        self, engine: Engine, pool: asyncpg.Pool[Any], url: str
    ) -> None:
        owner = await add_user(pool, 0)
        key = await add_delivery(pool, owner, await add_webhook(pool, owner, url))
        strict = make_delivering(engine, pool, None, DeliveryRules(), allowed_private_hosts=frozenset())
        assert (await attempt_at(strict, key)).is_attempt
        [attempt] = await pool.fetchval("SELECT log FROM deliveries WHERE id = $1", key.id)
        assert "not public" in attempt["error"]
        assert attempt["status_code"] is None

    async def test_those_that_fail_leave_room_for_the_others(
        self, engine: Engine, pool: asyncpg.Pool[Any]
    ) -> None:
        owner = await add_user(pool, 0)
        async with WebStub() as stub:
            failing = [
                await add_webhook(pool, owner, f"{stub.url}/held", failing_since=datetime.now(UTC))
                for _ in range(2)
            ]
            well = await add_webhook(pool, owner, f"{stub.url}/echo")
            held, put_off, taken = [await add_delivery(pool, owner, each) for each in (*failing, well)]
            delivering = make_delivering(engine, pool, None, DeliveryRules(at_once=2, at_once_failing=1))
            attempt = asyncio.create_task(attempt_at(delivering, held))
            await eventually(lambda: stub.requests)
            assert not (await attempt_at(delivering, put_off)).is_attempt
            assert (await attempt_at(delivering, taken)).is_over
            stub.let_go.set()
            assert (await attempt).is_over

    async def test_a_slow_one_is_not_tried_by_all_at_once(
        self, engine: Engine, pool: asyncpg.Pool[Any]
    ) -> None:
        owner = await add_user(pool, 0)
        async with WebStub() as stub:
            slow = await add_webhook(pool, owner, f"{stub.url}/held")
            held, put_off = [await add_delivery(pool, owner, slow) for _ in range(2)]
            delivering = make_delivering(engine, pool, None, DeliveryRules(at_once_each=1))
            attempt = asyncio.create_task(attempt_at(delivering, held))
            await eventually(lambda: stub.requests)
            assert not (await attempt_at(delivering, put_off)).is_attempt
            stub.let_go.set()
            assert (await attempt).is_over

    async def test_that_an_email_about_it_is_taken_says_nothing_of_a_webhook(
        self, engine: Engine, pool: asyncpg.Pool[Any]
    ) -> None:
        owner = await add_user(pool, 0)
        await pool.execute("UPDATE users SET email = 'me@example.org' WHERE id = $1", owner)
        failing = await add_webhook(pool, owner, "https://example.org/", failing_since=datetime.now(UTC))
        key = await add_delivery(pool, owner, failing)
        await pool.execute("UPDATE deliveries SET channel = 'email' WHERE id = $1", key.id)
        async with MailStub("perdure", "a password") as mail:
            assert (await attempt_at(make_delivering(engine, pool, mail, DeliveryRules()), key)).is_over
        assert await pool.fetchval("SELECT failing_since FROM notifications WHERE id = $1", failing)

    async def test_those_of_one_user_leave_room_for_those_of_another(
        self, engine: Engine, pool: asyncpg.Pool[Any]
    ) -> None:
        owner, other = await add_user(pool, 0), await add_user(pool, 0)
        async with WebStub() as stub:
            slow = [await add_webhook(pool, owner, f"{stub.url}/held") for _ in range(2)]
            held, put_off = [await add_delivery(pool, owner, each) for each in slow]
            taken = await add_delivery(pool, other, await add_webhook(pool, other, f"{stub.url}/echo"))
            delivering = make_delivering(engine, pool, None, DeliveryRules(at_once_of_user=1))
            attempt = asyncio.create_task(attempt_at(delivering, held))
            await eventually(lambda: stub.requests)
            assert not (await attempt_at(delivering, put_off)).is_attempt
            assert (await attempt_at(delivering, taken)).is_over
            stub.let_go.set()
            assert (await attempt).is_over

    async def test_an_attempt_at_what_has_ended_meanwhile_is_notcounted(
        self, engine: Engine, pool: asyncpg.Pool[Any]
    ) -> None:
        owner, tallies = await add_user(pool, 0), Tallies()
        async with WebStub() as stub:
            key = await add_delivery(pool, owner, await add_webhook(pool, owner, f"{stub.url}/held"))
            delivering = make_delivering(engine, pool, None, DeliveryRules(), tallies=tallies)
            attempt = asyncio.create_task(attempt_at(delivering, key))
            await eventually(lambda: stub.requests)
            await pool.execute("UPDATE deliveries SET status = 'delivered' WHERE id = $1", key.id)
            stub.let_go.set()
            await attempt
        assert counted(tallies) == 0

    async def test_one_that_goes_elsewhere_by_now_is_not_switched_off(self, pool: asyncpg.Pool[Any]) -> None:
        owner = await add_user(pool, 0)
        made = await add_webhook(pool, owner, "https://gone.example.org/")
        found = await find(pool, await add_delivery(pool, owner, made))
        await pool.execute("UPDATE notifications SET secret = 'elsewhere' WHERE id = $1", made)
        async with pool.acquire() as connection, connection.transaction():
            assert await notification_writes.disable(connection, found, "GONE", sends_mail=True) is None
        assert await pool.fetchval("SELECT is_active FROM notifications WHERE id = $1", made)

    async def test_what_is_withheld_is_counted(self, engine: Engine, pool: asyncpg.Pool[Any]) -> None:
        owner, tallies = await add_user(pool, 0), Tallies()
        key = await add_delivery(pool, owner, await add_notification(pool, owner))
        await pool.execute("UPDATE users SET suspended_at = now() WHERE id = $1", owner)
        assert (
            await attempt_at(make_delivering(engine, pool, None, DeliveryRules(), tallies=tallies), key)
        ).is_over
        assert counted(tallies, WITHHELD) == counted(tallies) == 1

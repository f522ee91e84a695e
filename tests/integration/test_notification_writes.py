"""What is written down to be told, and what goes together: on a real Postgres, without Temporal."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
from temporalio.testing import ActivityEnvironment

from app.activities.contracts.deliveries import AttemptRequest, AttemptResult
from app.activities.couriers import Couriers
from app.activities.delivering import ENVELOPES_BYTES, Delivering, Reach
from app.database import plain_url
from app.encryption.credentials import CredentialsEncryption
from app.models import deliveries, mailings, notification_writes, trial_spending
from app.models.deliveries import AttemptRecord, DeliveryKey, FoundDelivery
from app.models.notification_events import TEST, DeliveryStatus
from app.notifying.contents import make_content
from app.notifying.rules import DeliveryRules
from app.notifying.targets import WebhookTarget, make_secret
from app.outbound.http import OutboundHttp
from app.telemetry.series import DELIVERIES
from app.telemetry.tallies import Tallies
from tests.engine import KEYS, Engine, use_json
from tests.ledger import add_execution, add_user
from tests.notifications import HERE, server_of
from tests.stack import eventually
from tests.stubs import MailStub, WebStub

ENDED, FAILED, ASKED = "execution_completed", "execution_failed", "review_requested"
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = $1"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool[Any]]:
    made = await asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=4, init=use_json)
    yield made
    await made.close()


async def add_notification(pool: asyncpg.Pool[Any], owner: str, **fields: Any) -> str:
    """Write a notification down; return its id."""
    events = ["execution.completed", "execution.failed", "review.requested", "credits.low"]
    given = {
        "id": str(uuid.uuid4()),
        "user_id": owner,
        "name": "mine",
        "channel": "email",
        "target": "",
        "events": events,
    }
    row = given | fields
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await pool.execute(f"INSERT INTO notifications ({', '.join(row)}) VALUES ({places})", *row.values())
    return str(row["id"])


async def add_webhook(pool: asyncpg.Pool[Any], owner: str, url: str, **fields: Any) -> str:
    """Write a notification by webhook down; return its id."""
    notification_id = uuid.uuid4()
    target = WebhookTarget(url, make_secret())
    sealed = CredentialsEncryption(KEYS).seal(owner, notification_id, target.to_json())
    given = {
        "id": str(notification_id),
        "channel": "webhook",
        "secret": sealed.content,
        "key_id": sealed.key_id,
    }
    return await add_notification(pool, owner, **given, **fields)


async def add_delivery(pool: asyncpg.Pool[Any], owner: str, notification_id: str) -> DeliveryKey:
    """Write a test of a notification down."""
    delivery_id = await pool.fetchval(
        "INSERT INTO deliveries (id, user_id, notification_id, channel, event) "
        "SELECT gen_random_uuid(), user_id, id, channel, $2 FROM notifications WHERE id = $1 RETURNING id::text",
        notification_id,
        TEST,
    )
    return DeliveryKey(delivery_id, owner)


async def add_nested(pool: asyncpg.Pool[Any], owner: str, parent_id: str) -> str:
    nested = await add_execution(pool, owner)
    await pool.execute(
        "UPDATE executions SET parent_id = $2, parent_node = 0, parent_n = 1 WHERE id = $1", nested, parent_id
    )
    return nested


async def tell(
    connection: asyncpg.Connection[Any] | asyncpg.Pool[Any], execution_id: str, kind: str, seq: int = 1
) -> None:
    """Write an event into the log of an execution."""
    await connection.execute(
        "INSERT INTO execution_events (execution_id, seq, key, type, data) VALUES ($1, $2, $3, $4, '{}')",
        execution_id,
        seq,
        f"{kind}{seq}",
        kind,
    )


async def told(pool: asyncpg.Pool[Any], notification_id: str) -> list[str]:
    rows = await pool.fetch(
        "SELECT event FROM deliveries WHERE notification_id = $1 ORDER BY created_at", notification_id
    )
    return [row["event"] for row in rows]


async def keys_of(pool: asyncpg.Pool[Any], owner: str) -> list[DeliveryKey]:
    rows = await pool.fetch(
        "SELECT id::text, user_id FROM deliveries WHERE user_id = $1 ORDER BY created_at", owner
    )
    return [DeliveryKey(*row) for row in rows]


async def find(pool: asyncpg.Pool[Any], key: DeliveryKey) -> FoundDelivery:
    found = await deliveries.find_delivery(pool, key, outputs_bytes=ENVELOPES_BYTES)
    assert found is not None
    return found


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
            hurried = _delivering(
                engine, pool, mail, DeliveryRules(mails_a_day=1, mail_pause=timedelta(hours=1))
            )
            [key] = await keys_of(pool, owner)
            assert (await _attempt(hurried, key)).is_over
            for execution_id in later:
                await tell(pool, execution_id, FAILED)
            _, *waiting = await keys_of(pool, owner)
            put_off = await _attempt(hurried, waiting[0])
            assert (put_off.is_over, put_off.is_attempt) == (False, False)
            assert 3_500 < put_off.wait_seconds < 3_700
            assert len(mail.messages) == 1

            tallies = Tallies()
            patient = _delivering(
                engine, pool, mail, DeliveryRules(mails_a_day=1, mail_pause=timedelta()), tallies=tallies
            )
            for each in waiting:
                assert (await _attempt(patient, each)).is_over
            [_, letter] = mail.messages
        assert letter["Subject"] == "Execution failed, and 2 more"
        payload = letter.get_payload(decode=True)
        assert isinstance(payload, bytes)
        assert all(execution_id in payload.decode() for execution_id in later)
        rows = await pool.fetch("SELECT status, attempts, log FROM deliveries WHERE user_id = $1", owner)
        assert {(row["status"], row["attempts"], len(row["log"])) for row in rows} == {("delivered", 1, 1)}
        assert _counted(tallies) == len(later), "each is told"
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
            delivering = _delivering(engine, pool, mail, DeliveryRules(mails_a_day=0))
            assert (await _attempt(delivering, key)).is_over
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
            result = await _attempt(_delivering(engine, pool, None, rules), key)
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
        strict = _delivering(engine, pool, None, DeliveryRules(), allowed_private_hosts=frozenset())
        assert (await _attempt(strict, key)).is_attempt
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
            delivering = _delivering(engine, pool, None, DeliveryRules(at_once=2, at_once_failing=1))
            attempt = asyncio.create_task(_attempt(delivering, held))
            await eventually(lambda: stub.requests)
            assert not (await _attempt(delivering, put_off)).is_attempt
            assert (await _attempt(delivering, taken)).is_over
            stub.let_go.set()
            assert (await attempt).is_over

    async def test_those_of_one_user_leave_room_for_those_of_another(
        self, engine: Engine, pool: asyncpg.Pool[Any]
    ) -> None:
        owner, other = await add_user(pool, 0), await add_user(pool, 0)
        async with WebStub() as stub:
            slow = [await add_webhook(pool, owner, f"{stub.url}/held") for _ in range(2)]
            held, put_off = [await add_delivery(pool, owner, each) for each in slow]
            taken = await add_delivery(pool, other, await add_webhook(pool, other, f"{stub.url}/echo"))
            delivering = _delivering(engine, pool, None, DeliveryRules(at_once_of_user=1))
            attempt = asyncio.create_task(_attempt(delivering, held))
            await eventually(lambda: stub.requests)
            assert not (await _attempt(delivering, put_off)).is_attempt
            assert (await _attempt(delivering, taken)).is_over
            stub.let_go.set()
            assert (await attempt).is_over

    async def test_an_attempt_at_what_has_ended_meanwhile_is_not_counted(
        self, engine: Engine, pool: asyncpg.Pool[Any]
    ) -> None:
        owner, tallies = await add_user(pool, 0), Tallies()
        async with WebStub() as stub:
            key = await add_delivery(pool, owner, await add_webhook(pool, owner, f"{stub.url}/held"))
            delivering = _delivering(engine, pool, None, DeliveryRules(), tallies=tallies)
            attempt = asyncio.create_task(_attempt(delivering, key))
            await eventually(lambda: stub.requests)
            await pool.execute("UPDATE deliveries SET status = 'delivered' WHERE id = $1", key.id)
            stub.let_go.set()
            await attempt
        assert _counted(tallies) == 0

    async def test_one_that_goes_elsewhere_by_now_is_not_switched_off(self, pool: asyncpg.Pool[Any]) -> None:
        owner = await add_user(pool, 0)
        made = await add_webhook(pool, owner, "https://gone.example.org/")
        found = await find(pool, await add_delivery(pool, owner, made))
        await pool.execute("UPDATE notifications SET secret = 'elsewhere' WHERE id = $1", made)
        async with pool.acquire() as connection, connection.transaction():
            assert await notification_writes.disable(connection, found, "GONE", sends_mail=True) is None
        assert await pool.fetchval("SELECT is_active FROM notifications WHERE id = $1", made)


def _counted(tallies: Tallies) -> float:
    return sum(value for (name, *_), value in tallies.totals().items() if name == DELIVERIES.name)


def _delivering(
    engine: Engine,
    pool: asyncpg.Pool[Any],
    mail: MailStub | None,
    rules: DeliveryRules,
    *,
    allowed_private_hosts: frozenset[str] = HERE,
    tallies: Tallies | None = None,
) -> Delivering:
    http = OutboundHttp(allowed_private_hosts=allowed_private_hosts)
    server = server_of(mail) if mail else None
    reach = Reach(http, allowed_private_hosts, server, CredentialsEncryption(KEYS), "")
    couriers = Couriers(engine.client, pool, task_queue=engine.task_queue)
    return Delivering(pool, couriers, reach, rules, tallies or Tallies())


async def _attempt(delivering: Delivering, key: DeliveryKey) -> AttemptResult:
    request = AttemptRequest(key.id, key.user_id, failures=0, put_off=0, elapsed_seconds=0.0)
    result: AttemptResult = await ActivityEnvironment().run(delivering.deliver, request)
    return result

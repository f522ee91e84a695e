"""Executions as they are watched by server-sent events, over a real socket."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import httpx
import pytest
import structlog
from temporalio.client import Client

from app import database
from app.api import callers
from app.api.live.feeds import Place, read_place
from app.database import Sessions, plain_url
from app.migrating import migrate
from app.models import event_feed
from app.models.announcements import announce, announcement
from app.models.changes import Changes, EventRecord
from app.models.event_feed import WINDOW, Position, begin_feed, read_feed
from app.models.event_types import EventType
from app.models.recording import record
from app.tenants import working_for
from tests.api_keys import KEYS, make_key
from tests.e2e.rest import assert_whole_log, events_of, save, start, sums, wait
from tests.engine import Engine, make_engine
from tests.live import STREAM, EventStream, Frame, LiveApi, run_live, streaming
from tests.reviews import asking
from tests.stack import eventually

TERMINAL = "execution_completed"
KINDS = (EventType.EXECUTION_PAUSED, EventType.EXECUTION_WAITING, EventType.NODE_STARTED)
LAST, PAUSED = EventType.EXECUTION_RESUMED, EventType.EXECUTION_PAUSED


@pytest.fixture(scope="module")
async def engine(client: Client, database_url: str) -> AsyncIterator[Engine]:
    """One for all: each test has users of its own."""
    async with make_engine(client, database_url) as running:
        yield running


@pytest.fixture(scope="module")
async def live(engine: Engine, client: Client) -> AsyncIterator[LiveApi]:
    async with run_live(engine.database_url, client, task_queue=engine.task_queue) as running:
        yield running


@pytest.fixture(autouse=True)
def _nobody_looks_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who follows is to be woken by what happens, and not to find it when they show that they live."""
    for module in ("app.api.live.feeds", "app.api.services.waiting"):
        monkeypatch.setattr(f"{module}.HEARTBEAT_SECONDS", 600.0)


@pytest.fixture
async def alice(live: LiveApi) -> AsyncIterator[httpx.AsyncClient]:
    async with live.caller() as client:
        yield client


@pytest.fixture
async def bob(live: LiveApi) -> AsyncIterator[httpx.AsyncClient]:
    async with live.caller() as client:
        yield client


async def test_a_stream_begins_with_a_snapshot_and_goes_on_without_a_gap(
    alice: httpx.AsyncClient, worker: None
) -> None:
    execution = await start(alice, await save(alice, asking("a letter")))
    path = f"/api/executions/{execution['id']}/events"
    async with streaming(alice, path, snapshot=True) as stream:
        snapshot = await stream.next()
        assert snapshot is not None
        assert snapshot.event == "snapshot"
        assert snapshot.data["id"] == execution["id"]
        known = int(snapshot.id)
        assert snapshot.data["event_seq"] == known
        assert (await alice.post(f"/api/executions/{execution['id']}/stop")).status_code == 200
        frames = await stream.rest()
    log = await events_of(alice, execution["id"])
    assert [frame.data for frame in frames] == log[known:]
    assert frames[-1].event == "execution_cancelled"

    async with streaming(alice, path, snapshot=True, after="1") as stream:
        assert [frame.data for frame in await stream.rest()] == log[1:], "it is said where to go on"


async def test_all_executions_are_followed_from_the_moment_they_are_queued(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, engine: Engine
) -> None:
    graph_id, other_id = await save(alice, sums(2)), await save(alice, sums(2))
    before = await start(alice, graph_id)
    async with (
        streaming(alice, "/api/events") as of_all,
        streaming(alice, f"/api/graphs/{graph_id}/events") as of_graph,
        streaming(bob, "/api/events") as of_bob,
    ):
        for stream, shown in ((of_all, [before["id"]]), (of_graph, [before["id"]]), (of_bob, [])):
            snapshot = await stream.next()
            assert snapshot is not None
            assert snapshot.event == "snapshot"
            assert [each["id"] for each in snapshot.data["executions"]] == shown
        other, last = await start(alice, other_id), await start(alice, graph_id)
        queued = await of_all.until("execution_queued", execution_id=last["id"])
        assert [frame.data["execution_id"] for frame in queued] == [other["id"], last["id"]]
        async with engine.worker():
            told = await of_graph.until(TERMINAL, execution_id=last["id"])
        seen = [
            (frame.data["seq"], frame.event) for frame in told if frame.data["execution_id"] == last["id"]
        ]
        log = await assert_whole_log(alice, last["id"])
        wholes = [(event["seq"], event["type"]) for event in log if not event["type"].startswith("node_")]
        assert seen == [(0, "execution_queued"), *wholes]
        assert {frame.data["graph_id"] for frame in told} == {graph_id}
        own = await start(bob, await save(bob, sums(2)))
        assert [frame.data["execution_id"] for frame in await of_bob.until("execution_queued")] == [own["id"]]


async def test_of_what_is_nested_or_deleted_nothing_is_told(alice: httpx.AsyncClient, engine: Engine) -> None:
    graph_id = await save(alice, sums(1))
    after = (await alice.get("/api/events")).json()["after"]
    nested, deleted, shown = [await start(alice, graph_id) for _ in range(3)]
    for execution in (nested, deleted, shown):
        async with engine.pool.acquire() as connection:
            await _write(connection, execution, PAUSED)
    await engine.pool.execute("UPDATE executions SET parent_node = 0 WHERE id = $1", nested["id"])
    await engine.pool.execute("UPDATE executions SET deleted_at = now() WHERE id = $1", deleted["id"])
    page = (await alice.get("/api/events", params={"after": after})).json()
    told = [(each["execution_id"], each["seq"]) for each in page["items"]]
    assert told == [(shown["id"], 0), (shown["id"], 1)]


async def test_who_has_heard_nothing_stays_behind_what_a_crash_could_give_out_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "REUSED", 10)
    reading = database.make_engine(engine.database_url)
    with working_for("nobody"):
        async with Sessions(reading)() as session:
            now = (await begin_feed(session)).position.transaction
            before = Position(max(0, now - 3 * event_feed.REUSED))
            part = await read_feed(session, "nobody", graph_id=None, after=before, limit=1)
    await reading.dispose()
    assert part.position.transaction <= max(before.transaction, now - event_feed.REUSED)


async def test_an_outage_is_sat_through_and_nothing_told_twice(
    alice: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("feeds", "following"):
        monkeypatch.setattr(f"app.api.live.{module}.RETRY_SECONDS", 0.05)
    execution = await start(alice, await save(alice, sums(1)))
    async with (
        streaming(alice, "/api/events") as of_all,
        streaming(alice, f"/api/executions/{execution['id']}/events") as of_one,
        engine.pool.acquire() as connection,
    ):
        assert (await of_all.next()) is not None
        await _write(connection, execution, PAUSED)
        for stream in (of_all, of_one):
            frame = await stream.next()
            assert frame is not None
            assert (frame.event, frame.data["seq"]) == (PAUSED, 1)
        with structlog.testing.capture_logs() as logged:
            async with connection.transaction():
                await _write(connection, execution, LAST)
                await connection.execute("ALTER TABLE execution_events RENAME TO away")
            try:
                await eventually(
                    lambda: len([each for each in logged if each["event"] == "stream_waits"]) > 2  # of both
                )
            finally:
                await connection.execute("ALTER TABLE away RENAME TO execution_events")
        for stream in (of_all, of_one):
            frame = await stream.next()
            assert frame is not None
            assert (frame.event, frame.data["seq"]) == (LAST, 2)


async def _write(connection: asyncpg.Connection, execution: dict[str, Any], *types: EventType) -> None:
    """Write events down as a worker does, in whatever transaction the connection is in."""
    events = [EventRecord(str(uuid.uuid4()), each, "{}") for each in types]
    owner = execution["user_id"]
    assert await record(connection, execution["id"], Changes(events=events), owner=owner)
    await announce(connection, [announcement(execution["id"], None, owner)])


async def test_what_commits_late_is_missed_by_nobody_who_goes_on_from_any_place(
    alice: httpx.AsyncClient, engine: Engine, database_url: str
) -> None:
    graph_id = await save(alice, sums(2))
    slow, quick = await start(alice, graph_id), await start(alice, graph_id)
    writer, bystander = [await asyncpg.connect(plain_url(database_url)) for _ in range(2)]
    async with streaming(alice, "/api/events") as stream:
        assert (await stream.next()) is not None
        late, other = writer.transaction(), bystander.transaction()
        await late.start()
        await other.start()
        await _write(writer, slow, PAUSED)
        # Writes nothing, and nobody announces its end.
        await bystander.execute("SELECT pg_current_xact_id()")
        # Of later transactions, and committed before.
        for _ in range(5):
            async with engine.pool.acquire() as connection:
                await _write(connection, quick, PAUSED)
        third = await start(alice, graph_id)
        reading = asyncio.create_task(stream.until("execution_queued", execution_id=third["id"]))
        for transaction in (late, other):
            done, _ = await asyncio.wait([reading], timeout=0.25)
            assert not done, "what comes before it may still be written"
            await transaction.commit()
        frames = await reading
    await writer.close()
    await bystander.close()
    told = [(frame.data["execution_id"], frame.data["seq"]) for frame in frames]
    assert told == [(slow["id"], 1), *((quick["id"], seq) for seq in range(1, 6)), (third["id"], 0)]

    for number, frame in enumerate(frames):
        if number < len(frames) - 1:
            async with streaming(alice, "/api/events", after=frame.id) as again:
                later = await again.until("execution_queued", execution_id=third["id"])
            assert [each.text for each in later] == [each.text for each in frames[number + 1 :]]


async def test_a_feed_is_the_log_however_writers_overtake_each_other_and_readers_break_off(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    graph_id = await save(alice, sums(1))

    async def write(execution: dict[str, Any], *types: EventType) -> None:
        async with engine.pool.acquire() as connection, connection.transaction():
            await _write(connection, execution, *types)
            # Others overtake it.
            await connection.execute("SELECT pg_sleep($1)", chance.random() / 100)

    async def write_on(execution: dict[str, Any]) -> None:
        for _ in range(4):
            await write(execution, *chance.choices(KINDS, k=chance.randint(1, 3)))

    async def read(path: str, is_last: Callable[[Frame], bool], after: str = "") -> list[Frame]:
        frames: list[Frame] = []
        while not (frames and is_last(frames[-1])):
            async with streaming(alice, path, after=frames[-1].id if frames else after) as stream:
                for _ in range(chance.randint(1, 20)):
                    frame = await stream.next()
                    assert frame is not None
                    frames.append(frame)
                    if is_last(frame):
                        break
        return frames

    async with streaming(alice, "/api/events") as stream:
        snapshot = await stream.next()
        assert snapshot is not None
    started = [await start(alice, graph_id) for _ in range(3)]
    ids = [each["id"] for each in started]
    readers = [
        *(read("/api/events", lambda frame: frame.event == "credits_low", snapshot.id) for _ in range(2)),
        *(read(f"/api/executions/{each}/events", lambda frame: frame.event == LAST) for each in ids),
    ]
    reading = asyncio.gather(*readers)
    await asyncio.gather(*(write_on(execution) for execution in started for _ in range(3)))
    await asyncio.gather(*(write(execution, LAST) for execution in started))
    await write(started[0], EventType.CREDITS_LOW)
    *feeds, first, second, third = await reading

    wholes: list[tuple[str, int]] = []
    for execution_id, frames in zip(ids, (first, second, third), strict=True):
        log = await events_of(alice, execution_id)
        assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
        assert [frame.data for frame in frames] == log[: len(frames)], seed
        told = [each.data["seq"] for each in feeds[0] if each.data["execution_id"] == execution_id]
        assert told == [0, *(event["seq"] for event in log if not event["type"].startswith("node_"))], seed
        wholes += [(execution_id, seq) for seq in told]
    assert len(wholes) == len(feeds[0])
    for feed in feeds:
        assert [frame.text for frame in feed] == [frame.text for frame in feeds[0]], seed


async def test_a_program_that_asks_now_and_then_catches_up_however_far_it_was_behind(
    alice: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "WINDOW", 3)
    monkeypatch.setattr(event_feed, "REUSED", 1)
    graph_id = await save(alice, sums(1))
    page = (await alice.get("/api/events")).json()
    for _ in range(50):
        await engine.pool.execute("SELECT pg_current_xact_id()")
    execution = await start(alice, graph_id)
    asked = 0
    while not page["items"]:
        page = (await alice.get("/api/events", params={"after": page["after"]})).json()
        asked += 1
        assert page["items"] or page["has_more"]
    assert [each["execution_id"] for each in page["items"]] == [execution["id"]]
    assert 1 < asked < 50 / 3


async def test_what_was_copied_from_another_database_is_not_told_of_again(
    alice: httpx.AsyncClient, engine: Engine, database_url: str
) -> None:
    copied, own = [await start(alice, await save(alice, sums(1))) for _ in range(2)]
    for execution in (copied, own):
        async with engine.pool.acquire() as connection:
            await _write(connection, execution, PAUSED)
    ahead = "SET transaction = transaction + 1000000 WHERE"
    await engine.pool.execute(f"UPDATE executions {ahead} id = $1", copied["id"])
    await engine.pool.execute(f"UPDATE execution_events {ahead} execution_id = $1", copied["id"])
    await migrate(database_url)
    rows = await engine.pool.fetch(
        """
        SELECT id::text, transaction = 0 AS is_behind FROM executions WHERE id = ANY($1)
        UNION SELECT execution_id::text, transaction = 0 FROM execution_events WHERE execution_id = ANY($1)
        """,
        [copied["id"], own["id"]],
    )
    assert dict(rows) == {copied["id"]: True, own["id"]: False}


async def test_a_stream_that_is_to_go_on_behind_the_end_begins_anew(
    alice: httpx.AsyncClient, worker: None
) -> None:
    execution = await start(alice, await save(alice, sums(1)), wait=60)
    path = f"/api/executions/{execution['id']}/events"
    for after in (execution["event_seq"] + 1, 10**30):
        async with streaming(alice, path, after=str(after)) as stream:
            reset, snapshot = await stream.rest()
        assert (reset.event, snapshot.event) == ("reset", "snapshot")
        assert int(snapshot.id) == execution["event_seq"]
        assert snapshot.data["status"] == "COMPLETED"
    async with streaming(alice, path, after=str(execution["event_seq"])) as stream:
        assert await stream.rest() == []
        assert "no-transform" in stream.response.headers["cache-control"]
    for after in ("-1", "x", "1.5", "1e3", "\u00b2"):
        refused = await alice.get(
            path, headers=httpx.Headers(STREAM | {"Last-Event-ID": after}, encoding="utf-8")
        )
        assert refused.status_code == 422


async def test_a_place_of_another_life_of_the_database_is_answered_with_a_reset(
    alice: httpx.AsyncClient,
) -> None:
    execution = await start(alice, await save(alice, sums(1)))
    async with streaming(alice, "/api/events") as stream:
        first = await stream.next()
    assert first is not None
    known = read_place(first.id)
    ahead = Place(known.life, known.position._replace(transaction=known.position.transaction + WINDOW))
    for place in (Place(known.life + 1, known.position), ahead):
        async with streaming(alice, "/api/events", after=place.write()) as stream:
            reset, snapshot = await stream.next(), await stream.next()
        assert reset is not None
        assert snapshot is not None
        assert (reset.event, snapshot.event) == ("reset", "snapshot")
        assert [each["id"] for each in snapshot.data["executions"]] == [execution["id"]]
    response = await alice.get("/api/events", headers={**STREAM, "Last-Event-ID": "nowhere"})
    assert response.status_code == 422


async def test_another_replica_goes_on_where_one_was_left(
    live: LiveApi, alice: httpx.AsyncClient, engine: Engine, client: Client
) -> None:
    graph_id = await save(alice, asking("a letter"))
    token = alice.headers["Authorization"].removeprefix("Bearer ")
    async with (
        run_live(engine.database_url, client, task_queue=engine.task_queue) as other,
        other.caller(token) as alice_elsewhere,
    ):
        async with streaming(alice, "/api/events") as stream:
            assert (await stream.next()) is not None
            execution = await start(alice_elsewhere, graph_id)
            known = (await stream.until("execution_queued"))[-1]
        async with engine.worker(), streaming(alice_elsewhere, "/api/events", after=known.id) as stream:
            await stream.until("execution_waiting", execution_id=execution["id"])
            path = f"/api/executions/{execution['id']}/events"
            async with (
                streaming(alice, path) as here,
                streaming(alice_elsewhere, path, after="2") as there,
            ):
                assert (await alice.post(f"/api/executions/{execution['id']}/stop")).status_code == 200
                frames = await here.rest()
                assert [frame.text for frame in await there.rest()] == [frame.text for frame in frames[2:]]
            await stream.until("execution_cancelled", execution_id=execution["id"])


async def test_a_lost_listening_connection_loses_nobody_an_event(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    graph_id = await save(alice, asking("a letter"))
    execution = await start(alice, graph_id)
    async with (
        streaming(alice, "/api/events") as of_all,
        streaming(alice, f"/api/executions/{execution['id']}/events") as of_one,
        engine.worker(),
    ):
        await of_all.until("execution_waiting")
        killed = await engine.pool.fetchval(
            """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')
            """
        )
        assert killed
        assert (await alice.post(f"/api/executions/{execution['id']}/stop")).status_code == 200
        await of_all.until("execution_cancelled")
        frames = await of_one.rest()
    assert [frame.data for frame in frames] == await events_of(alice, execution["id"])


async def test_a_browser_opens_streams_with_tickets_and_nothing_else(
    live: LiveApi, alice: httpx.AsyncClient, bob: httpx.AsyncClient, worker: None
) -> None:
    graph_id = await save(alice, sums(2))
    execution = await wait(alice, (await start(alice, graph_id))["id"])
    paths = [f"/api/executions/{execution['id']}", f"/api/graphs/{graph_id}", "/api/events"]
    tickets = {}
    for path in paths:
        made = await alice.post(f"{path}/tickets")
        assert made.status_code == 200, made.text
        tickets[path] = made.json()["ticket"]
        if path != "/api/events":
            assert (await bob.post(f"{path}/tickets")).status_code == 404
    async with httpx.AsyncClient(base_url=live.url, headers=STREAM, trust_env=False) as browser:
        for path, ticket in tickets.items():
            stream_path = path if path == "/api/events" else f"{path}/events"
            async with browser.stream("GET", stream_path, params={"ticket": ticket}) as response:
                assert response.status_code == 200
                first = await EventStream(response).next()
                assert first is not None
            for others in set(tickets.values()) - {ticket}:
                refused = await browser.get(stream_path, params={"ticket": others})
                assert refused.status_code == 401
        one, ticket = paths[0], tickets[paths[0]]
        page = await browser.get(f"{one}/events", params={"ticket": ticket}, headers={"Accept": "*/*"})
        assert page.status_code == 401, "it is for the stream alone"
        assert (await browser.get(one, params={"ticket": ticket})).status_code == 401
        assert (await browser.post(f"{one}/stop", params={"ticket": ticket})).status_code == 401
        for forged in (ticket[:-1] + ("A" if ticket[-1] != "A" else "B"), ticket + "=", "", "x" * 3_000):
            assert (await browser.get(f"{one}/events", params={"ticket": forged})).status_code == 401


async def test_a_ticket_lets_in_for_a_minute_and_as_long_as_the_key_that_took_it_is_valid(
    live: LiveApi, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "WELCOME_SECONDS", -1.0)
    made = await make_key(alice, "executions:read")
    async with (
        live.caller(made["key"]) as program,
        httpx.AsyncClient(base_url=live.url, headers=STREAM, trust_env=False) as browser,
    ):
        ticket = (await program.post("/api/events/tickets")).json()["ticket"]
        async with browser.stream("GET", "/api/events", params={"ticket": ticket}) as response:
            stream = EventStream(response)
            assert (await stream.next()) is not None
            assert (await alice.delete(f"{KEYS}/{made['id']}")).status_code == 204
            await start(alice, await save(alice, sums(1)))
            assert (await stream.next()) is None, "it is cut with the key"
        assert (await browser.get("/api/events", params={"ticket": ticket})).status_code == 401

        own = (await alice.post("/api/events/tickets")).json()["ticket"]
        monkeypatch.setattr("app.api.live.tickets.time.time", lambda: 2e12)
        assert (await browser.get("/api/events", params={"ticket": own})).status_code == 401


async def test_ids_of_somebody_else_are_like_none(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(1))
    execution = await start(alice, graph_id)
    for path, theirs in (("executions", execution["id"]), ("graphs", graph_id)):
        for tried in (theirs, str(uuid.uuid4())):
            response = await bob.get(f"/api/{path}/{tried}/events", headers=STREAM)
            assert response.status_code == 404
            assert json.loads(response.text)["error"]["error_code"] == "NOT_FOUND"

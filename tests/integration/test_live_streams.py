"""Executions as they are watched by server-sent events, over a real socket."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from temporalio.client import Client

from app.api import callers
from app.api.services.feeds import Place, read_place
from app.database import plain_url
from app.models.event_feed import WINDOW
from tests.api_keys import KEYS, make_key
from tests.e2e.rest import assert_whole_log, events_of, save, start, sums, wait
from tests.engine import Engine
from tests.live import STREAM, EventStream, LiveApi, run_live, streaming
from tests.reviews import asking

TERMINAL = "execution_completed"


@pytest.fixture
async def live(engine: Engine, client: Client) -> AsyncIterator[LiveApi]:
    async with run_live(engine.database_url, client, task_queue=engine.task_queue) as running:
        yield running


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


async def _write(connection: asyncpg.Connection, execution_id: str, seq: int) -> None:
    """Write an event down as a worker does, in whatever transaction the connection is in."""
    await connection.execute(
        "INSERT INTO execution_events (execution_id, seq, key, type, data) VALUES ($1, $2, $3, $4, '{}')",
        execution_id,
        seq,
        f"test-{seq}",
        "execution_paused",
    )


async def test_what_commits_late_is_missed_by_nobody_who_goes_on_from_any_place(
    alice: httpx.AsyncClient, engine: Engine, database_url: str
) -> None:
    graph_id = await save(alice, sums(2))
    slow, quick = await start(alice, graph_id), await start(alice, graph_id)
    writer = await asyncpg.connect(plain_url(database_url))
    async with streaming(alice, "/api/events") as stream:
        assert (await stream.next()) is not None
        late = writer.transaction()
        await late.start()
        await _write(writer, slow["id"], 1)
        # Of later transactions, and committed before.
        for seq in range(1, 6):
            async with engine.pool.acquire() as connection:
                await _write(connection, quick["id"], seq)
        third = await start(alice, graph_id)
        reading = asyncio.create_task(stream.until("execution_queued", execution_id=third["id"]))
        done, _ = await asyncio.wait([reading], timeout=0.5)
        assert not done, "what comes before it may still be written"
        await late.commit()
        frames = await reading
    await writer.close()
    told = [(frame.data["execution_id"], frame.data["seq"]) for frame in frames]
    assert told == [(slow["id"], 1), *((quick["id"], seq) for seq in range(1, 6)), (third["id"], 0)]

    for number, frame in enumerate(frames):
        if number < len(frames) - 1:
            async with streaming(alice, "/api/events", after=frame.id) as again:
                later = await again.until("execution_queued", execution_id=third["id"])
            assert [each.text for each in later] == [each.text for each in frames[number + 1 :]]


async def test_many_who_write_at_once_leave_no_gap(alice: httpx.AsyncClient, engine: Engine) -> None:
    graph_id = await save(alice, sums(1))
    started = [(await start(alice, graph_id))["id"] for _ in range(12)]
    async with streaming(alice, "/api/events") as stream:
        snapshot = await stream.next()
        assert snapshot is not None

        async def write(execution_id: str) -> None:
            for seq in range(1, 21):
                async with engine.pool.acquire() as connection, connection.transaction():
                    await _write(connection, execution_id, seq)
                    # Others overtake it.
                    await connection.execute("SELECT pg_sleep(random() / 100)")
            await engine.pool.execute(
                "SELECT pg_notify('perdure_events', $1::text || '::' || user_id) FROM executions WHERE id = $1::uuid",
                execution_id,
            )

        writing = asyncio.gather(*map(write, started))
        seen: list[tuple[str, int]] = []
        while len(seen) < 20 * len(started):
            frame = await stream.next()
            assert frame is not None
            seen.append((frame.data["execution_id"], frame.data["seq"]))
        await writing
    assert len(set(seen)) == len(seen)
    for execution_id in started:
        assert [seq for each, seq in seen if each == execution_id] == list(range(1, 21))
    async with streaming(alice, "/api/events", after=snapshot.id) as again:
        replayed = [frame.data for frame in [await again.next() for _ in seen] if frame is not None]
    assert [(each["execution_id"], each["seq"]) for each in replayed] == seen


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
        monkeypatch.setattr("app.api.tickets.time.time", lambda: 2e12)
        assert (await browser.get("/api/events", params={"ticket": own})).status_code == 401


async def test_ids_of_somebody_else_are_like_none(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(1))
    execution = await start(alice, graph_id)
    for path, theirs in (("executions", execution["id"]), ("graphs", graph_id)):
        for tried in (theirs, str(uuid.uuid4())):
            response = await bob.get(f"/api/{path}/{tried}/events", headers=STREAM)
            assert response.status_code == 404
            assert json.loads(response.text)["error"]["error_code"] == "NOT_FOUND"

"""Event streams beside each other: each user's own, and woken by what happens, not by the clock."""

from __future__ import annotations

import asyncio
import re
import uuid

import asyncpg
import httpx
import pytest

from app.api.live import event_hub
from app.api.live.event_hub import EventHub
from app.database import plain_url
from app.graph.status import Status
from app.models.announcements import CHANNEL, announce, announcement
from tests.e2e.rest import save, start, sums
from tests.engine import Engine
from tests.stack import eventually

EACH = 4
PATIENCE_SECONDS = 60.0
STREAM = {"Accept": "text/event-stream"}


async def seqs_and_texts(client: httpx.AsyncClient, execution_id: str) -> list[tuple[str, str]]:
    """Stream an execution to its end; return number and text of every event."""
    stream = await client.get(f"/api/executions/{execution_id}/events", headers=STREAM)
    assert stream.status_code == 200
    return re.findall(r"id: (\d+)\nevent: \w+\ndata: (.+)\n", stream.text)


async def test_streams_of_two_users_at_one_process_show_each_what_is_theirs(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, engine: Engine
) -> None:
    """They take turns with the connections of one pool, each of which must be told anew for whom it works."""
    started: dict[httpx.AsyncClient, list[str]] = {}
    for client in (alice, bob):
        graph_id = await save(client, sums(3))
        started[client] = [(await start(client, graph_id))["id"] for _ in range(EACH)]
    streams = {
        (client, execution_id): asyncio.create_task(seqs_and_texts(client, execution_id))
        for client, ids in started.items()
        for execution_id in ids
    }
    for client, other in ((alice, bob), (bob, alice)):
        for theirs in (*started[other], str(uuid.uuid4())):
            stream = await client.get(f"/api/executions/{theirs}/events", headers=STREAM)
            assert stream.status_code == 404
            assert theirs not in stream.text
    async with engine.worker():
        await asyncio.gather(*streams.values())
    for (client, execution_id), task in streams.items():
        page = (await client.get(f"/api/executions/{execution_id}/events?limit=200")).json()["items"]
        seen = task.result()
        assert [int(seq) for seq, _ in seen] == [event["seq"] for event in page]
        assert all(f'"type":"{event["type"]}"' in text for event, (_, text) in zip(page, seen, strict=True))


async def test_who_listens_to_nothing_looks_at_nothing_until_the_connection_is_lost(
    own_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_hub, "POLL_SECONDS", 0.01)
    hub, execution_id = EventHub(own_database_url), str(uuid.uuid4())
    superuser = await asyncpg.connect(plain_url(own_database_url))
    try:
        async with hub.subscribe(execution_id) as subscription:
            # Nobody listens yet, so it is looked every poll interval.
            assert await subscription.wait(60)
            await hub.start()
            await eventually(lambda: hub.is_listening)
            assert await subscription.wait(60), "whoever waits is woken by the connection's being there"

            waiting = asyncio.create_task(subscription.wait(60))
            await asyncio.wait({waiting}, timeout=0.3)
            assert not waiting.done(), "thirty poll intervals have gone by"
            await superuser.execute("SELECT pg_notify($1, $2)", CHANNEL, execution_id)
            assert await waiting

            waiting = asyncio.create_task(subscription.wait(60))
            await asyncio.wait({waiting}, timeout=0.05)
            await superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            async with asyncio.timeout(30):
                assert await waiting
    finally:
        await hub.stop()
        await superuser.close()


async def test_each_is_woken_by_what_they_follow_and_by_nothing_else(database_url: str) -> None:
    hub, execution_id, user_id = EventHub(database_url), str(uuid.uuid4()), f"tenant:{uuid.uuid4()}:somebody"
    superuser = await asyncpg.connect(plain_url(database_url))
    await hub.start()
    try:
        await eventually(lambda: hub.is_listening)
        async with (
            hub.subscribe(execution_id) as every,
            hub.subscribe(execution_id, is_for_status=True) as status,
            hub.subscribe_to_user(user_id) as user,
        ):
            everybody = {"every": every, "status": status, "user": user}
            for text, woken in (
                (execution_id, {"every"}),
                (announcement(execution_id, None, user_id), {"every", "user"}),
                (announcement(execution_id, Status.RUNNING, user_id), {"every", "status", "user"}),
                (announcement(str(uuid.uuid4()), Status.RUNNING, user_id), {"user"}),
            ):
                await announce(superuser, [text])
                first, *others = woken
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await everybody[first].wait(PATIENCE_SECONDS)
                    # One announcement wakes all at once.
                    heard = {
                        first,
                        *[name for name in others if await everybody[name].wait(PATIENCE_SECONDS)],
                    }
                assert heard == woken
                for name in everybody.keys() - woken:
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(everybody[name].wait(PATIENCE_SECONDS), 0.01)
    finally:
        await hub.stop()
        await superuser.close()

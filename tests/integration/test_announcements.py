"""Announcements of what has been written: all of them, in order, few statements, through outages."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from app.activities import recorder as recorder_module
from app.activities.recorder import Recorder
from app.database import plain_url
from app.graph.status import Status
from app.models.announcements import CHANNEL
from app.models.changes import Changes, EventRecord
from app.models.recording import announcement_of
from tests.stack import eventually

OWNER = "who-is-told"


@contextlib.asynccontextmanager
async def listening(database_url: str) -> AsyncIterator[list[str]]:
    """Listen to what is announced of executions of the owner."""
    heard: list[str] = []
    connection = await asyncpg.connect(plain_url(database_url))

    def hear(*announced: Any) -> None:
        if announced[-1].endswith(OWNER):
            heard.append(announced[-1])

    await connection.add_listener(CHANNEL, hear)
    try:
        yield heard
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def recording(database_url: str) -> AsyncIterator[tuple[Recorder, asyncpg.Pool[Any]]]:
    async with asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=1) as pool:
        recorder = Recorder(pool)
        yield recorder, pool
        await recorder.aclose()


async def test_what_comes_together_is_announced_together_and_once(database_url: str) -> None:
    ids = [str(uuid.uuid4()) for _ in range(100)]
    asked: list[str] = []
    async with listening(database_url) as heard, recording(database_url) as (recorder, pool):
        async with pool.acquire() as connection:
            connection.add_query_logger(lambda query: asked.append(query.query))
            for _ in range(3):
                for each in ids:
                    recorder.tell(each, Status.RUNNING, owner=OWNER)
        await eventually(lambda: len(heard) == len(ids))
    assert heard == [f"{each}:RUNNING:{OWNER}" for each in ids]
    assert len([query for query in asked if "pg_notify" in query]) == 1


async def test_what_could_not_be_announced_is_announced_later(database_url: str) -> None:
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    refused = 0
    is_there = True

    async def connect(*args: Any, **options: Any) -> asyncpg.Connection[Any]:
        nonlocal refused
        if not is_there:
            refused += 1
            raise ConnectionRefusedError
        return await asyncpg.connect(*args, **options)

    async with (
        listening(database_url) as heard,
        asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=1, connect=connect) as pool,
    ):
        recorder = Recorder(pool)
        async with pool.acquire() as connection:
            connection.terminate()
        is_there = False
        recorder.tell(first, None, owner=OWNER)
        await eventually(lambda: refused)
        recorder.tell(second, Status.COMPLETED, owner=OWNER)
        is_there = True
        await eventually(lambda: len(heard) == 2)
        await recorder.aclose()
    assert heard == [f"{first}::{OWNER}", f"{second}:COMPLETED:{OWNER}"]


async def test_whatever_postgres_says_the_announcement_waits(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "AGAIN_SECONDS", 0.02)
    ended = str(uuid.uuid4())
    asked: list[Any] = []

    async def keep(_: asyncpg.Connection[Any]) -> None:
        """Leave the transaction as it is."""

    async with (
        listening(database_url) as heard,
        asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=1, reset=keep) as pool,
    ):
        recorder = Recorder(pool)
        async with pool.acquire() as connection:
            await connection.execute("BEGIN")
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.execute("SELECT 1 / 0")
            connection.add_query_logger(asked.append)
        recorder.tell(ended, None, owner=OWNER)
        await eventually(lambda: len(asked) > 1)
        async with pool.acquire() as connection:
            await connection.execute("ROLLBACK")
        await eventually(lambda: heard == [f"{ended}::{OWNER}"])
        await recorder.aclose()


async def test_no_more_wait_than_should(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "MOST_WAITING", 2)
    ids = [str(uuid.uuid4()) for _ in range(4)]
    async with listening(database_url) as heard, recording(database_url) as (recorder, _):
        for each in ids[:3]:
            recorder.tell(each, None, owner=OWNER)
        await eventually(lambda: heard)
        recorder.tell(ids[3], None, owner=OWNER)
        await eventually(lambda: len(heard) == 3)
    assert heard == [f"{ids[number]}::{OWNER}" for number in (0, 1, 3)]


async def test_what_still_waits_is_announced_before_a_worker_ends(database_url: str) -> None:
    ended = str(uuid.uuid4())
    async with listening(database_url) as heard:
        async with recording(database_url) as (recorder, _):
            recorder.tell(ended, Status.FAILED, owner=OWNER)
        await eventually(lambda: heard == [f"{ended}:FAILED:{OWNER}"])


@pytest.mark.parametrize(
    ("changes", "announced"),
    [
        (Changes(events=[EventRecord("1", "node_started", "{}")]), "some"),
        (Changes(events=[EventRecord("1", "node_started", "{}")], status=Status.RUNNING), "some:RUNNING:who"),
        (
            Changes(
                events=[EventRecord("1", "node_started", "{}"), EventRecord("2", "review_requested", "{}")]
            ),
            "some::who",
        ),
        (Changes(events=[EventRecord("1", "node_completed", "{}")], runs_low=True), "some::who"),
        (Changes(runs_low=True), "some::who"),
        (Changes(), None),
    ],
)
def test_what_single_nodes_do_is_announced_to_those_alone_who_follow_their_execution(
    changes: Changes, announced: str | None
) -> None:
    assert announcement_of("some", changes, owner="who") == announced

"""Stored values: who uses them, and what is collected when nobody does; bodies in Postgres and in a real S3 server."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from app.activities.value_store import ValueMissing, ValueStore
from app.activities.values import Shelf, ValueCache
from app.database import Sessions, make_engine
from app.graph.envelope import Envelope
from app.models import executions, recording
from app.models.changes import Changes, NewExecution, ValueCollected
from app.models.execution_writes import insert_execution
from app.models.value_bodies import make_object_name
from app.models.value_collection import Collected, collect_values
from app.models.value_uses import add_uses, announce_objects, copy_uses
from app.objects import ObjectsAway, ObjectStore
from app.s3 import S3Objects
from tests.engine import Engine
from tests.engine import make_engine as make_graph_engine
from tests.object_storage import URL, S3Server, run_s3_server

AT_ONCE = timedelta(0)
TEXT = "0123456789" * 1_000


@pytest.fixture(scope="module")
async def s3(session_folder: Path) -> AsyncIterator[S3Server]:
    async with run_s3_server(session_folder / "s3.log") as server:
        yield server


@pytest.fixture
def objects(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return S3Objects(URL)


class Kept:
    """Values of executions in a database of the test's own."""

    def __init__(self, engine: Engine, objects: ObjectStore) -> None:
        self.pool = engine.pool
        self.keep_in(objects)
        self.database = make_engine(engine.database_url)
        self.sessions = Sessions(self.database)
        self.owner = "owner"

    def keep_in(self, objects: ObjectStore | None) -> None:
        """Keep bodies there from now on, or in the database."""
        self.objects = objects
        self.store = ValueStore(self.pool, objects)

    def shelf(self) -> Shelf:
        """Return a shelf of a process that has seen nothing yet."""
        return Shelf(self.owner, ValueCache(self.store))

    async def begin(self, inputs: Envelope | None = None) -> str:
        """Return a new open execution."""
        new = NewExecution(
            id=str(uuid.uuid4()),
            user_id=self.owner,
            graph_id=str(uuid.uuid4()),
            graph_version=1,
            plan_hash="",
            trigger="api",
            inputs=inputs or [{}],
            created_at=datetime.now(UTC),
        )
        async with self.pool.acquire() as connection:
            await insert_execution(connection, new)
        return new.id

    async def write(self, execution_id: str, value: Any, *, shelf: Shelf | None = None) -> Envelope:
        """Record a value in an execution, as an activity does."""
        shelf = shelf or self.shelf()
        envelope, _ = shelf.wrap(value)
        while True:
            try:
                changes = Changes(values=await shelf.stow(), uses={envelope[0]})
                async with self.pool.acquire() as connection:
                    assert await recording.record(connection, execution_id, changes, owner=self.owner)
                return envelope
            except ValueCollected:
                continue

    async def read(self, envelope: Envelope) -> Any:
        """Return a value as a process reads it that has seen nothing yet."""
        return (await self.shelf().open({"value": envelope}))["value"]

    async def delete(self, execution_id: str) -> None:
        """Delete an execution."""
        async with self.sessions.begin() as session:
            await executions.delete_execution(session, self.owner, uuid.UUID(execution_id))

    async def collect(self, grace: timedelta = AT_ONCE, *, limit: int = 500) -> Collected:
        """Collect garbage."""
        return await collect_values(self.pool, self.objects, grace=grace, limit=limit)

    async def count(self) -> tuple[int, int]:
        """Return how many values there are, and how many objects that belong to none."""
        values = await self.pool.fetchval("SELECT count(*) FROM stored_values")
        return values, await self.pool.fetchval("SELECT count(*) FROM loose_objects")


@pytest.fixture
async def kept_in_s3(client: Client, own_database_url: str, objects: ObjectStore) -> AsyncIterator[Kept]:
    async with make_graph_engine(client, own_database_url) as engine:
        running = Kept(engine, objects)
        yield running
        await running.database.dispose()


@pytest.fixture(params=["postgres", "s3"])
def kept(request: pytest.FixtureRequest, kept_in_s3: Kept) -> Kept:
    if request.param == "postgres":
        kept_in_s3.keep_in(None)
    return kept_in_s3


async def test_a_value_stays_as_long_as_one_execution_uses_it(kept: Kept) -> None:
    first, second = await kept.begin(), await kept.begin()
    envelope = await kept.write(first, TEXT)
    assert await kept.write(second, TEXT) == envelope
    assert await kept.count() == (1, 0)

    await kept.delete(first)
    assert (await kept.collect()).values == 0
    assert await kept.read(envelope) == TEXT

    await kept.delete(second)
    assert (await kept.collect(timedelta(hours=1))).values == 0
    collected = await kept.collect()
    assert (collected.values, collected.bytes, collected.is_all) == (1, len(TEXT) + 2, True)
    assert await kept.count() == (0, 0)
    with pytest.raises(ValueMissing):
        await kept.read(envelope)
    assert (await kept.collect()).values == 0


async def test_run_inputs_and_what_is_taken_over_are_uses(kept: Kept) -> None:
    source = await kept.begin()
    envelope = await kept.write(source, TEXT)
    started = await kept.begin([*envelope])
    parent, rerun = await kept.begin(), await kept.begin()
    async with kept.pool.acquire() as connection:
        await add_uses(connection, parent, kept.owner, [envelope[0]])
        await copy_uses(connection, source, rerun, owner=kept.owner)
        with pytest.raises(ValueCollected):
            await add_uses(connection, parent, kept.owner, ["0" * 64])
    for ended in (source, started, parent):
        await kept.delete(ended)
        await kept.collect()
        assert await kept.read(envelope) == TEXT
    await kept.delete(rerun)
    assert (await kept.collect()).values == 1


async def test_a_value_that_was_given_is_passed_on_without_being_stored_again(kept: Kept) -> None:
    execution = await kept.begin()
    envelope = await kept.write(execution, TEXT)
    shelf = kept.shelf()
    await shelf.open({"value": envelope})
    assert shelf.wrap(TEXT)[0] == envelope
    assert await shelf.stow() == []


async def test_a_value_that_is_stored_is_not_sent_again(kept: Kept) -> None:
    await kept.write(await kept.begin(), TEXT)
    shelf = kept.shelf()
    shelf.wrap(TEXT)
    (record,) = await shelf.stow()
    assert (record.body, record.object) == (None, None)


async def test_what_never_gets_a_record_is_collected_after_its_time_of_grace(
    kept: Kept, s3: S3Server
) -> None:
    before = await s3.count()
    shelf = kept.shelf()
    shelf.wrap(TEXT)
    await shelf.stow()
    # Its activity dies here.
    is_in_s3 = kept.objects is not None
    assert await s3.count() == before + is_in_s3
    assert (await kept.collect(timedelta(hours=1))).objects == 0
    assert (await kept.collect()).objects == is_in_s3
    assert await s3.count() == before
    assert await kept.count() == (0, 0)


async def test_a_call_is_bounded_and_says_whether_more_is_left(kept: Kept) -> None:
    execution = await kept.begin()
    for number in range(5):
        await kept.write(execution, f"{number}{TEXT}")
    await kept.delete(execution)
    first = await kept.collect(limit=3)
    assert (first.values, first.objects, first.is_all) == (3, 3 if kept.objects else 0, False)
    second = await kept.collect(limit=3)
    assert (second.values, second.objects, second.is_all) == (2, 2 if kept.objects else 0, True)
    assert await kept.count() == (0, 0)


async def test_nothing_in_use_is_collected_however_writers_and_collectors_meet(kept: Kept) -> None:
    written = 0
    collected = 0

    async def write_and_delete(number: int) -> None:
        nonlocal written
        for turn in itertools.count():
            # On a busy machine a collector may come by seldom: it is waited for while there is work for it.
            if turn >= 12 and (collected > 3 or any(collector.done() for collector in collectors)):
                return
            execution = await kept.begin()
            # Few contents, so that one is stored by some while others delete their last use of it.
            value = f"{(number + turn) % 3}{TEXT}"
            envelope = await kept.write(execution, value)
            assert await kept.read(envelope) == value
            written += 1
            await kept.delete(execution)

    async def collect() -> None:
        nonlocal collected
        while True:
            collected += (await kept.collect()).values

    collectors = [asyncio.create_task(collect()) for _ in range(2)]
    await asyncio.gather(*map(write_and_delete, range(6)))
    for collector in collectors:
        assert not collector.done()
        collector.cancel()
    await asyncio.gather(*collectors, return_exceptions=True)
    assert written >= 72
    assert collected > 3
    while not (await kept.collect()).is_all:
        pass
    assert await kept.count() == (0, 0)


async def test_an_object_that_is_going_to_be_deleted_becomes_no_values_body(kept_in_s3: Kept) -> None:
    kept = kept_in_s3
    execution = await kept.begin()
    shelf = kept.shelf()
    envelope, _ = shelf.wrap(TEXT)
    values = await shelf.stow()
    await kept.collect()
    async with kept.pool.acquire() as connection:
        with pytest.raises(ValueCollected):
            await recording.record(connection, execution, Changes(values=values), owner=kept.owner)
    await kept.write(execution, TEXT, shelf=shelf)
    assert await kept.read(envelope) == TEXT


async def test_a_collector_goes_on_where_an_outage_has_stopped_it(
    kept_in_s3: Kept, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = kept_in_s3
    assert kept.objects is not None
    name = make_object_name("0" * 64)
    await announce_objects(kept.pool, [name])
    await kept.objects.put(name, b"never taken")
    before = await s3.count()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ObjectsAway):
        await collect_values(kept.pool, S3Objects(URL), grace=AT_ONCE)
    assert (await kept.collect()).objects == 1
    assert await s3.count() == before - 1


async def test_values_stay_readable_when_new_ones_are_kept_elsewhere(kept_in_s3: Kept) -> None:
    kept, s3 = kept_in_s3, kept_in_s3.objects
    execution = await kept.begin()
    in_s3 = await kept.write(execution, TEXT)
    kept.keep_in(None)
    in_postgres = await kept.write(execution, f"another {TEXT}")
    with pytest.raises(ValueMissing, match="PERDURE_VALUE_STORE"):
        await kept.read(in_s3)
    kept.keep_in(s3)
    assert [await kept.read(in_s3), await kept.read(in_postgres)] == [TEXT, f"another {TEXT}"]


async def test_a_record_without_large_values_looks_for_none(kept: Kept) -> None:
    queries: list[str] = []
    execution = await kept.begin()
    async with kept.pool.acquire() as connection:
        await recording.record(connection, execution, Changes(), owner=kept.owner)
        with connection.query_logger(lambda query: queries.append(query.query)):
            await recording.record(connection, execution, Changes(), owner=kept.owner)
    assert len(queries) == 1
    assert "stored_values" not in queries[0]
    assert "value_uses" not in queries[0]


async def test_no_value_is_forgotten_whose_last_use_goes_while_a_collector_looks(
    kept_in_s3: Kept,
) -> None:
    kept = kept_in_s3
    kept.keep_in(None)
    is_over = asyncio.Event()

    async def collect() -> None:
        while not is_over.is_set():
            await kept.collect()

    async def use(execution_id: str, texts: list[str]) -> None:
        shelf = kept.shelf()
        uses = {shelf.wrap(text)[0][0] for text in texts}
        changes = Changes(values=await shelf.stow(), uses=uses)
        async with kept.pool.acquire() as connection:
            assert await recording.record(connection, execution_id, changes, owner=kept.owner)

    collecting = [asyncio.create_task(collect()) for _ in range(3)]
    for turn in range(20):
        texts = [f"{turn} {number} {TEXT}" for number in range(50)]
        executions = [await kept.begin() for _ in range(6)]
        for execution_id in executions:
            await use(execution_id, texts)
        # All but the last deletion leave values that are idle and used.
        await asyncio.gather(*map(kept.delete, executions))
    is_over.set()
    await asyncio.gather(*collecting)
    while not (await kept.collect()).is_all:
        pass
    assert await kept.count() == (0, 0)

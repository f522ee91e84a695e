"""Large values on their way through executions: what they cost in history, in memory and in storage."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs
from temporalio.client import Client

from app.database import Sessions
from app.database import make_engine as make_database
from app.models import executions
from app.models.value_collection import collect_values
from app.objects import ObjectStore
from app.s3 import S3Objects
from tests.engine import OWNER, Engine, make_engine, make_graph
from tests.object_storage import URL, S3Server, run_s3_server
from tests.stack import eventually

PROBE = "probe"
OUTPUT = "agent_output_block"
MEGABYTE = 1_000_000


async def bytes_of_history(handle: Any) -> int:
    return sum(event.ByteSize() for event in (await handle.fetch_history()).events)


async def count_stored(engine: Engine, execution_id: str) -> int:
    stored: int = await engine.pool.fetchval(
        "SELECT count(*) FROM value_uses WHERE execution_id = $1", execution_id
    )
    return stored


async def test_two_hundred_megabytes_pass_through_a_small_history_and_a_bounded_worker(
    engine: Engine,
) -> None:
    size, count = 5 * MEGABYTE, 40
    process = psutil.Process()

    def makes(_value: Any, _context: Any) -> Iterator[str]:
        for number in range(count):
            yield f"{number:03}" + "x" * (size - 3)

    def measures(value: Any, _context: Any) -> int:
        engine.probe.calls.clear()  # it would hold the values
        return len(value)

    engine.probe.functions |= {"make": makes, "measure": measures}
    graph = make_graph(
        {
            "make": (PROBE, {"name": "make"}),
            "pass": ("store_value_block", {}),
            "measure": (PROBE, {"name": "measure"}),
            "out": (OUTPUT, {"name": "length"}),
        },
        ["make.out -> pass.input", "pass.output -> measure.value", "measure.out -> out.value"],
    )
    before = process.memory_info().rss
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, process.memory_info().rss - before)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    async with engine.worker():
        handle = await engine.start(graph)
        record = await engine.end(handle)
    watching.cancel()
    assert record.outputs == {"length": [size] * count}
    assert await bytes_of_history(handle) < 2 * MEGABYTE
    # Passed on by a pure block, each is stored once.
    assert await count_stored(engine, handle.id) == count
    # The cache, what is not written yet, and what the blocks hold that run at once.
    assert most < 160 * MEGABYTE


async def test_a_megabyte_through_a_chain_and_a_wide_fan_out_is_stored_once(engine: Engine) -> None:
    text = "x" * MEGABYTE
    engine.probe.functions |= {"make": lambda _value, _context: text, "measure": lambda value, _: len(value)}
    chain: dict[str, tuple[str, dict[str, str]]] = {f"chain{number}": (PROBE, {}) for number in range(5)}
    fan = {f"fan{number}": (PROBE, {"name": "measure"}) for number in range(100)}
    graph = make_graph(
        {"make": (PROBE, {"name": "make"}), **chain, **fan, "out": (OUTPUT, {"name": "length"})},
        [
            "make.out -> chain0.value",
            *(f"chain{number}.out -> chain{number + 1}.value" for number in range(4)),
            *(f"chain4.out -> {name}.value" for name in fan),
            *(f"{name}.out -> out.value" for name in fan),
        ],
    )
    async with engine.worker():
        handle = await engine.start(graph)
        record = await engine.end(handle)
    assert record.outputs == {"length": [MEGABYTE] * 100}
    assert await bytes_of_history(handle) < MEGABYTE
    assert await count_stored(engine, handle.id) == 1


async def test_executions_find_their_values_while_others_with_the_same_are_deleted_and_collected(
    client: Client, own_database_url: str
) -> None:
    text = "x" * 100_000
    async with make_engine(client, own_database_url) as engine:
        engine.probe.functions["make"] = lambda _value, _context: text
        graph = make_graph(
            {
                "make": (PROBE, {"name": "make"}),
                "pass": (PROBE, {}),
                "store": ("store_value_block", {}),
                "out": (OUTPUT, {"name": "text"}),
            },
            ["make.out -> pass.value", "pass.out -> store.input", "store.output -> out.value"],
        )
        database = make_database(own_database_url)
        sessions, collected = Sessions(database), 0

        async def collect() -> None:
            nonlocal collected
            while True:
                collected += (await collect_values(engine.pool, None, grace=timedelta(0))).values

        async def run_and_delete() -> None:
            for _ in range(3):
                handle = await engine.start(graph, {"unused": text})
                record = await engine.end(handle)
                assert record.status == "COMPLETED"
                assert await count_stored(engine, handle.id) == 1
                async with sessions.begin() as session:
                    await executions.delete_execution(session, OWNER, uuid.UUID(handle.id))

        async def is_all_collected() -> bool:
            return collected > 0 and await engine.pool.fetchval("SELECT count(*) FROM stored_values") == 0

        async with engine.worker():
            collecting = asyncio.create_task(collect())
            try:
                await asyncio.gather(*(run_and_delete() for _ in range(4)))
                await eventually(is_all_collected)
                assert not collecting.done()
            finally:
                collecting.cancel()
                await database.dispose()


async def test_a_value_that_is_too_large_is_refused_by_name(engine: Engine) -> None:
    engine.probe.functions["make"] = lambda _value, _context: "x" * (64 * 1024 * 1024 - 1)
    graph = make_graph({"make": (PROBE, {"name": "make"})}, [])
    async with engine.worker():
        record = await engine.run(graph)
    assert record.status == "FAILED"
    assert record.error is not None
    assert record.error["code"] == "VALUE_TOO_LARGE"
    assert "67108865 bytes" in record.error["message"]
    assert [name for name, _, _ in engine.probe.calls] == ["make"]


@pytest.fixture
async def s3(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Server]:
    async with run_s3_server(short_folder / "s3.log") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def objects(s3: S3Server) -> ObjectStore:
    assert os.environ["AWS_ENDPOINT_URL"] == s3.endpoint
    return S3Objects(URL)


async def test_a_block_that_has_done_its_work_waits_out_an_outage_of_the_object_store(
    engine: Engine, objects: ObjectStore, s3: S3Server
) -> None:
    async def makes(_value: Any, _context: Any) -> str:
        s3.kill()
        return text

    text = f"{uuid.uuid4()}" * 30_000
    engine.probe.functions |= {"make": makes, "measure": lambda value, _: len(value)}
    graph = make_graph(
        {
            "make": (PROBE, {"name": "make"}),
            "measure": (PROBE, {"name": "measure"}),
            "out": (OUTPUT, {"name": "length"}),
        },
        ["make.out -> measure.value", "measure.out -> out.value"],
    )
    async with engine.worker(objects=objects):
        with capture_logs() as logs:
            handle = await engine.start(graph)
            await eventually(lambda: any(line["event"] == "service_away" for line in logs))
        assert (await engine.record(handle.id)).status == "RUNNING"
        await s3.start()
        record = await engine.end(handle)
    assert record.outputs == {"length": [len(text)]}
    assert [(name, attempt) for name, attempt, _ in engine.probe.calls] == [("make", 1), ("measure", 1)]
    assert await s3.count() == 1

"""How many executions of a user run at once: the others wait their turn, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from temporalio.client import WorkflowHandle

from app.activities.contracts.messages import ADMIT_SIGNAL
from app.blocks.context import BlockContext
from tests.engine import Engine, make_graph
from tests.stack import eventually

Handle = WorkflowHandle[Any, int]
LIMIT = 2
GRAPH = make_graph({"a": ("probe", {"name": "gate"})}, [])


class Gate:
    """Holds up every probe until it is opened, and follows how many executions run."""

    def __init__(self, engine: Engine, owner: str) -> None:
        self._open = asyncio.Event()
        self._engine = engine
        self._owner = owner
        self.most = 0
        engine.probe.functions["gate"] = self._pass

    def open(self) -> None:
        self._open.set()

    async def _pass(self, value: Any, _: BlockContext) -> Any:
        running = await self._engine.pool.fetchval(
            "SELECT count(*) FROM executions WHERE user_id = $1 AND status = 'RUNNING'", self._owner
        )
        self.most = max(self.most, running)
        await self._open.wait()
        return value


async def start(engine: Engine, owner: str, number: int) -> list[Handle]:
    return [await engine.start(GRAPH, owner=owner) for _ in range(number)]


async def count(engine: Engine, handles: Sequence[Handle], condition: str) -> int:
    query = f"SELECT count(*) FROM executions WHERE id = ANY($1::uuid[]) AND {condition}"
    counted: int = await engine.pool.fetchval(query, [handle.id for handle in handles])
    return counted


async def fill(engine: Engine, owner: str, queued: int) -> tuple[list[Handle], list[Handle]]:
    """Have as many run as may, and some others wait."""
    running = await start(engine, owner, LIMIT)
    await eventually(lambda: _all(engine, running, "status = 'RUNNING'"))
    waiting = await start(engine, owner, queued)
    await eventually(lambda: _all(engine, waiting, "awaits_room"))
    return running, waiting


async def _all(engine: Engine, handles: Sequence[Handle], condition: str) -> bool:
    return await count(engine, handles, condition) == len(handles)


async def test_no_more_than_the_limit_run_and_the_others_begin_in_order(engine: Engine) -> None:
    owner = str(uuid.uuid4())
    gate = Gate(engine, owner)
    async with engine.worker(running_per_user=LIMIT):
        running, waiting = await fill(engine, owner, 8)
        assert await count(engine, waiting, "status = 'QUEUED' AND started_at IS NULL") == 8
        gate.open()
        for handle in [*running, *waiting]:
            assert await handle.result() == 1

    begun = await engine.pool.fetch(
        "SELECT id::text FROM executions WHERE user_id = $1 ORDER BY started_at", owner
    )
    assert {row["id"] for row in begun[:LIMIT]} == {handle.id for handle in running}
    created = [handle.id for handle in waiting]
    for number, row in enumerate(begun[LIMIT:], LIMIT):
        # Of those for which there is room at one moment any may be the first.
        before = {other["id"] for other in begun[:number]}
        assert len(set(created[: created.index(row["id"])]) - before) < LIMIT
    assert gate.most == LIMIT


async def test_who_asks_at_the_same_moment_does_not_take_one_place_twice(engine: Engine) -> None:
    owner = str(uuid.uuid4())
    gate = Gate(engine, owner)
    handles = await start(engine, owner, 12)
    # All begin at once, since they were there before the worker.
    async with engine.worker(running_per_user=LIMIT):
        await eventually(lambda: _has(engine, handles, "awaits_room", 12 - LIMIT))
        assert await count(engine, handles, "status = 'RUNNING'") == LIMIT
        gate.open()
        for handle in handles:
            await handle.result()
    assert gate.most == LIMIT


async def _has(engine: Engine, handles: Sequence[Handle], condition: str, number: int) -> bool:
    return await count(engine, handles, condition) == number


async def test_the_queue_of_one_user_holds_up_nobody_else(engine: Engine) -> None:
    owner, other = str(uuid.uuid4()), str(uuid.uuid4())
    gate = Gate(engine, owner)
    async with engine.worker(running_per_user=LIMIT):
        running, waiting = await fill(engine, owner, 3)
        free = await engine.start(make_graph({"a": ("probe", {})}, []), owner=other)
        assert await free.result() == 1
        assert await count(engine, waiting, "status = 'QUEUED'") == 3
        gate.open()
        for handle in [*running, *waiting]:
            await handle.result()


async def test_what_waits_can_be_stopped_and_lets_others_pass(engine: Engine) -> None:
    owner = str(uuid.uuid4())
    gate = Gate(engine, owner)
    async with engine.worker(running_per_user=LIMIT):
        running, waiting = await fill(engine, owner, 3)
        await waiting[0].cancel()
        stopped = await engine.end(waiting[0])
        assert stopped.status == "CANCELLED"
        assert stopped.nodes == []
        gate.open()
        for handle in [*running, *waiting[1:]]:
            assert await handle.result() == 1


async def test_what_pauses_gives_its_place_away(engine: Engine) -> None:
    owner = str(uuid.uuid4())
    gate = Gate(engine, owner)
    async with engine.worker(running_per_user=LIMIT):
        running, waiting = await fill(engine, owner, 1)
        await running[0].execute_update("pause")
        await eventually(lambda: _all(engine, waiting, "status = 'RUNNING'"))
        gate.open()
        await running[0].execute_update("resume")
        for handle in [*running, *waiting]:
            await handle.result()


async def test_the_queue_outlives_its_workers(engine: Engine) -> None:
    owner = str(uuid.uuid4())
    gate = Gate(engine, owner)
    async with engine.worker(running_per_user=LIMIT):
        running, waiting = await fill(engine, owner, 4)
    # Nobody is there when the calls come.
    await running[0].terminate()
    for handle in waiting:
        await handle.signal(ADMIT_SIGNAL)
    gate.open()
    async with engine.worker(running_per_user=LIMIT):
        await running[1].result()
        for handle in waiting[:1]:
            await handle.result()
        # The record of what was terminated still holds a place, until it is settled.
        for handle in waiting[1:]:
            await handle.result()
    assert gate.most <= LIMIT

"""Executions of paid calls, and what is killed between the reservation of a call and its settlement: not by luck.

Providers hold their answers until they are told to give them, and a lock on the owner's row keeps answers from being
settled. So each kill comes when calls are reserved, and some of them answered, and none of that is settled.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from temporalio.client import WorkflowHandle

from app.blocks.registry import BLOCK_CLASSES, BlockRegistry
from app.database import plain_url
from tests.engine import Engine, Record, limited, make_graph
from tests.fault.harness.priced_blocks import PricedRequestBlock, install
from tests.fault.harness.providers import Gate, PricedModel, PricedWeb
from tests.fault.harness.sketches import PATIENT
from tests.ledger import add_user, charges, require_sound
from tests.processes import WorkerProcess, worker_environment
from tests.stack import Stack, eventually

CREDITS = 10_000_000
EXECUTIONS = 2
ANSWERS = 3
"""Calls that are answered between two kills, at most."""
LIMITS = limited(window=4, heartbeat_seconds=3)

_SETTLED = "SELECT count(*) FROM credit_entries WHERE user_id = $1 AND kind = 'SETTLE'"
_RESERVED = "SELECT reserved FROM users WHERE id = $1"
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


class Kill(NamedTuple):
    """What is killed, and when."""

    victim: str
    """`worker` or `postgres`."""
    moment: str
    """`asked`: calls are reserved, and nobody has answered. `answered`: some are answered, and not settled."""

    def __str__(self) -> str:
        return f"{self.victim} when {self.moment}"


def plan_kills(count: int) -> list[Kill]:
    """Return that many kills, of all kinds in turn."""
    kinds = [Kill(victim, moment) for moment in ("asked", "answered") for victim in ("worker", "postgres")]
    return list(itertools.islice(itertools.cycle(kinds), count))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it."""

    kills: Counter[str]
    executions: int
    calls: int
    """Node executions that are charged for."""
    answers: int
    """Answers that providers gave: more than calls where nobody heard them."""
    worth: int
    """Credits that the calls are worth which providers answered, each counted once."""
    charged: int
    """Credits that the owner has lost."""
    settled: int
    """Entries that settle a call."""
    left_reserved: int
    """Credits that are still reserved."""
    wrongs: Sequence[str]


class PaidCalls:
    """Executions whose calls cost money, and the worker that makes them."""

    def __init__(self, engine: Engine, stack: Stack, folder: Path, gate: Gate, urls: tuple[str, str]) -> None:
        """Take where they run, and the URLs of the model and of the web server."""
        self._engine = engine
        self._stack = stack
        self._folder = folder
        self._gate = gate
        self._model_url, self._web_url = urls
        self._package = install(folder / "package")
        self._worker: WorkerProcess | None = None
        self._handles: list[WorkflowHandle[Any, int]] = []
        self._owner = ""
        self._kills: Counter[str] = Counter()

    async def begin(self, kills: int) -> None:
        """Start a worker, and executions with more calls than are answered before the last kill."""
        engine = self._engine
        engine.registry = BlockRegistry([PricedRequestBlock(), *(make() for make in BLOCK_CLASSES)])
        self._owner = await add_user(engine.pool, CREDITS)
        size = (kills * ANSWERS + 2 * LIMITS.window * EXECUTIONS) // EXECUTIONS
        graph = make_graph(
            {
                "items": ("step_through_items_block", {"items": [str(number) for number in range(size)]}),
                "ask": (
                    "ai_text_generator_block",
                    {"prompt": "Task {{n}}", "model": "gpt-4o", "metadata": PATIENT},
                ),
                "buy": (
                    PricedRequestBlock.id,
                    {"url": f"{self._web_url}/held", "method": "POST", "metadata": PATIENT},
                ),
            },
            ["items.item -> ask.prompt_values_#_n", "items.item -> buy.body_#_number"],
        )
        for _ in range(EXECUTIONS):
            self._handles.append(await engine.start(graph, owner=self._owner, limits=LIMITS))
        await self._replace_worker()

    async def inflict(self, kill: Kill) -> None:
        """Kill something at its moment, and have it there again."""
        await eventually(lambda: self._gate.held > 0)
        assert await self._engine.pool.fetchval(_RESERVED, self._owner) > 0
        async with contextlib.AsyncExitStack() as held:
            if kill.moment == "answered":
                await held.enter_async_context(self._answered())
            if kill.victim == "worker":
                self.kill_worker()
                self._gate.drop()
            else:
                await self._stack.postgres.kill()
        self._kills[str(kill)] += 1
        if kill.victim == "worker":
            await self._replace_worker()
        else:
            await self._stack.postgres.start()
        self._gate.let_through(ANSWERS)

    async def end(self) -> Verdict:
        """Let everything end, and look at the ledger."""
        self._gate.open()
        pool, gate = self._engine.pool, self._gate
        records = [await self._engine.end(handle) for handle in self._handles]
        wrongs = [text for record in records for text in _wrongs_of(record)]
        for handle, record in zip(self._handles, records, strict=True):
            paid = {str(row["id"]): row["cost"] for row in record.nodes if row["cost"]}
            if paid != await charges(pool, handle.id):
                wrongs.append(f"{handle.id}: what is recorded and what was charged differ")
        try:
            balance = await require_sound(pool, self._owner)
        except AssertionError as error:
            wrongs.append(f"the ledger does not add up: {error}")
            balance = await pool.fetchval("SELECT credits FROM users WHERE id = $1", self._owner)
        costs = Counter(row["cost"] for record in records for row in record.nodes if row["cost"])
        if costs != Counter(gate.prices.values()):
            wrongs.append("what was charged is not what providers ask")
        return Verdict(
            self._kills,
            executions=len(records),
            calls=costs.total(),
            answers=gate.answers.total(),
            worth=sum(gate.prices.values()),
            charged=CREDITS - balance,
            settled=await pool.fetchval(_SETTLED, self._owner),
            left_reserved=await pool.fetchval(_RESERVED, self._owner),
            wrongs=wrongs,
        )

    def kill_worker(self) -> None:
        """Kill the worker, if there is one."""
        if self._worker is not None:
            self._worker.kill()

    async def _replace_worker(self) -> None:
        settings = worker_environment(self._stack, task_queue=self._engine.task_queue)
        settings |= self._package | {"PERDURE_LLM_BASE_URL": self._model_url}
        self._worker = await WorkerProcess(self._folder / "worker", settings).ready()

    @asynccontextmanager
    async def _answered(self) -> AsyncIterator[None]:
        """Have calls answered, and their settlement wait, until the block ends."""
        connection = await asyncpg.connect(plain_url(self._stack.database_url))
        try:
            await connection.execute("BEGIN")
            await connection.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", self._owner)
            settled = await connection.fetchval(_SETTLED, self._owner)
            self._gate.let_through(ANSWERS)
            await eventually(lambda: self._is_waiting(settled))
            yield
        finally:
            connection.terminate()

    async def _is_waiting(self, settled: int) -> bool:
        """Answer whether more calls are answered than are settled, and somebody waits to settle one."""
        return len(self._gate.prices) > settled and await self._engine.pool.fetchval(_WAITING) > 0


def _wrongs_of(record: Record) -> Iterator[str]:
    if record.status != "COMPLETED":
        yield f"an execution is {record.status}: {record.error}"
    for row in record.nodes:
        if row["status"] != "COMPLETED":
            yield f"{row['node_id']} {row['n']} is {row['status']}"


@asynccontextmanager
async def paid_calls(engine: Engine, stack: Stack, folder: Path) -> AsyncIterator[PaidCalls]:
    """Run providers that ask money, and what calls them."""
    gate = Gate()
    async with PricedModel(gate) as model, PricedWeb(gate) as web:
        calls = PaidCalls(engine, stack, folder, gate, (model.url, web.url))
        try:
            yield calls
        finally:
            calls.kill_worker()
            gate.open()

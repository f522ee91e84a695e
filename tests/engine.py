"""The engine without its REST layer: saves graphs, starts executions on a real Temporal, reads their records.

The worker runs in the test's own process with workflow code in the sandbox, so that blocks made for a test can be used.
"""

from __future__ import annotations

import inspect
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle

from app.activities.contracts.execution import WORKFLOW_NAME, ExecutionLimits, ExecutionStart
from app.blocks.base import BlockInput, BlockOutput, RemoteBlock
from app.blocks.context import BlockContext
from app.blocks.registry import BLOCK_CLASSES, BlockRegistry
from app.database import plain_url
from app.encryption.keys import parse_encryption_keys
from app.errors import BlockError, BlockUnavailable
from app.fairness import make_priority
from app.graph.compilation import compile_graph
from app.graph.costs import Cost
from app.graph.definition import GraphDefinition, Link, Node, definition_to_json, name_links
from app.graph.signature import RetryPolicy
from app.llm.models import Provider
from app.objects import ObjectStore
from app.telemetry.tallies import Tallies
from app.workers.config import WorkerConfig
from app.workers.opening import make_workers
from tests.stack import ENCRYPTION_KEY
from tests.workflow_sandbox import Sandbox

OWNER = "owner"
CREDITS = 1_000_000
"""What an owner of graphs begins with."""
KEYS = parse_encryption_keys(ENCRYPTION_KEY)
FAST = ExecutionLimits(window=40, heartbeat_seconds=5)


def gives_back(value: Any, _: BlockContext) -> Any:
    """Do nothing with the value."""
    return value


class Probe(RemoteBlock):
    """A remote block whose behaviour the test decides: it counts its calls and does what it is told."""

    id = "0b6d3c1e-7a52-4a35-9d0e-3f8f8d1d9a01"
    retry = RetryPolicy(max_attempts=3, initial_seconds=0.05)

    class Input(BlockInput):
        """What the test says."""

        value: Any = None
        name: str = ""
        """Which of the test's functions to call."""

    class Output(BlockOutput):
        """What the test's function gave."""

        out: Any

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, Any]] = []
        """(name, attempt, value) of each call."""
        self.functions: dict[str, Callable[[Any, BlockContext], Any]] = {}

    def charge(self, credits: int) -> None:  # noqa: A002 - as everywhere
        """Have each call cost this much."""
        self.costs = (Cost(credits=credits),)  # type: ignore[misc]  # of this probe alone

    async def run(self, given: Any, context: BlockContext) -> AsyncIterator[tuple[str, Any]]:
        self.calls.append((given.name, context.attempt, given.value))
        result = self.functions.get(given.name, gives_back)(given.value, context)
        if inspect.iscoroutine(result):
            result = await result
        for value in result if isinstance(result, Many | Iterator) else [result]:
            yield "out", value


class Many(list[Any]):
    """Several values for one pin."""


def unavailable_until(attempt: int) -> Callable[[Any, BlockContext], Any]:
    """Return a function that fails with a transient error before that attempt."""

    def function(value: Any, context: BlockContext) -> Any:
        if context.attempt < attempt:
            raise BlockUnavailable("Try again later")
        return value

    return function


def refuses(value: Any, context: BlockContext) -> Any:
    """Fail for good."""
    raise BlockError(f"{value} is refused")


def make_graph(nodes: Mapping[str, tuple[str, Mapping[str, Any]]], links: Iterable[str]) -> GraphDefinition:
    """Return a graph of (block, constants) by node id and links `a.out -> b.in` (`=>` for static ones).

    A constant called `metadata` is the node's metadata.
    """
    made = []
    for name, (block, constants) in nodes.items():
        plain = {pin: value for pin, value in constants.items() if pin != "metadata"}
        made.append(Node(name, block, plain, constants.get("metadata", {})))
    return GraphDefinition(tuple(made), name_links([_link(text) for text in links]))


def _link(text: str) -> Link:
    arrow = "=>" if "=>" in text else "->"
    (source_id, source_name), (sink_id, sink_name) = (end.strip().split(".", 1) for end in text.split(arrow))
    return Link(source_id, sink_id, source_name, sink_name, is_static=arrow == "=>")


@dataclass(frozen=True, slots=True)
class Record:
    """What Postgres holds of an execution."""

    status: str
    outputs: dict[str, list[Any]]
    error: dict[str, Any] | None
    report: dict[str, Any] | None
    retries: int
    nodes: list[dict[str, Any]]
    """Rows of node executions in the order in which they ended."""
    events: list[tuple[int, str]]
    """(seq, type)"""

    def of(self, node_id: str) -> list[dict[str, Any]]:
        """Return the rows of one node."""
        return [row for row in self.nodes if row["node_id"] == node_id]


class Engine:
    """Executes graphs."""

    def __init__(self, client: Client, pool: asyncpg.Pool[Any], database_url: str) -> None:
        self.client = client
        self.pool = pool
        self.database_url = database_url
        self.task_queue = f"test-{uuid.uuid4()}"
        self.probe = Probe()
        self.tallies = Tallies()
        self.registry = BlockRegistry([self.probe, *(make() for make in BLOCK_CLASSES)])

    @asynccontextmanager
    async def worker(
        self,
        *,
        objects: ObjectStore | None = None,
        llm_base_url: str | None = None,
        llm_api_keys: Mapping[Provider, str] | None = None,
        running_per_user: int = 0,
    ) -> AsyncIterator[None]:
        """Run a worker; with an object store for large values, and a server of language models, if given."""
        if llm_base_url:
            # The same blocks, told as a deployment's are.
            BlockRegistry(self.registry, settings={"PERDURE_LLM_BASE_URL"})
        config = WorkerConfig(
            self.database_url,
            self.task_queue,
            encryption_keys=KEYS,
            graceful_shutdown_seconds=0.5,
            objects=objects,
            llm_base_url=llm_base_url,
            llm_api_keys=llm_api_keys or {},
            running_per_user=running_per_user,
        )
        async with (
            make_workers(
                self.client, config, runner=Sandbox(), registry=self.registry, tallies=self.tallies
            ) as workers,
            AsyncExitStack() as running,
        ):
            for worker in workers:
                await running.enter_async_context(worker)
            yield

    async def start(
        self,
        graph: GraphDefinition,
        inputs: Mapping[str, Any] | None = None,
        *,
        limits: ExecutionLimits = FAST,
        owner: str = OWNER,
        user: str | None = None,
        task_timeout: timedelta | None = None,
        budget: int | None = None,
        on_insufficient_credits: str = "pause",
    ) -> WorkflowHandle[Any, int]:
        """Save a graph for its owner, and start an execution of it, as its owner unless another user is named."""
        graph_id, plan_hash = await self.save(graph, owner)
        start = ExecutionStart(
            user_id=user or owner,
            graph_id=graph_id,
            graph_version=1,
            graph_name="test",
            plan_hash=plan_hash,
            inputs=[dict(inputs or {})],
            trigger="api",
            created_at=datetime.now(UTC).isoformat(),
            limits=limits,
            budget=budget,
            on_insufficient_credits=on_insufficient_credits,
        )
        return await self.client.start_workflow(
            WORKFLOW_NAME,
            start,
            id=str(uuid.uuid4()),
            task_queue=self.task_queue,
            result_type=int,
            priority=make_priority(start.user_id),
            task_timeout=task_timeout,
        )

    async def run(
        self, graph: GraphDefinition, inputs: Mapping[str, Any] | None = None, **options: Any
    ) -> Record:
        """Execute a graph to its end; return the record."""
        handle = await self.start(graph, inputs, **options)
        return await self.end(handle)

    async def end(self, handle: WorkflowHandle[Any, int]) -> Record:
        """Wait until an execution has ended; return the record."""
        try:
            await handle.result()
        except WorkflowFailureError:
            pass  # how it ended is in the record
        return await self.record(handle.id)

    async def record(self, execution_id: str) -> Record:
        """Return what is recorded of an execution."""
        row = await self.pool.fetchrow("SELECT * FROM executions WHERE id = $1", execution_id)
        assert row is not None
        nodes = await self.pool.fetch(
            "SELECT * FROM node_executions WHERE execution_id = $1 ORDER BY seq", execution_id
        )
        events = await self.pool.fetch(
            "SELECT seq, type FROM execution_events WHERE execution_id = $1 ORDER BY seq", execution_id
        )
        outputs = {name: [envelope[0] for envelope in values] for name, values in row["outputs"].items()}
        return Record(
            row["status"],
            outputs,
            row["error"],
            row["report"],
            row["retries"],
            [dict(node) for node in nodes],
            [(event["seq"], event["type"]) for event in events],
        )

    async def find_status(self, execution_id: str) -> str | None:
        """Return an execution's recorded status, or None while nothing is recorded."""
        status: str | None = await self.pool.fetchval(
            "SELECT status FROM executions WHERE id = $1", execution_id
        )
        return status

    async def save(self, graph: GraphDefinition, owner: str = OWNER) -> tuple[str, str]:
        """Save a graph for its owner as it is given; return its id and its plan's hash."""
        compiled = compile_graph(graph, self.registry.signatures)
        graph_id = str(uuid.uuid4())
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                """
                WITH given AS (
                    INSERT INTO users (id, email, name, role, timezone, credits)
                    VALUES ($1, '', '', 'user', 'UTC', $2) ON CONFLICT DO NOTHING RETURNING id
                )
                INSERT INTO credit_entries (user_id, key, kind, amount, balance)
                SELECT id, 'grant:first', 'GRANT', $2, $2 FROM given
                """,
                owner,
                CREDITS,
            )
            await connection.execute(
                "INSERT INTO plans (hash, plan, configuration) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                compiled.hash,
                compiled.plan,
                compiled.configuration,
            )
            await connection.execute(
                "INSERT INTO graphs (id, user_id, active_version, latest_version) VALUES ($1, $2, 1, 1)",
                graph_id,
                owner,
            )
            await connection.execute(
                "INSERT INTO graph_versions (graph_id, version, name, description, definition, plan_hash, "
                "input_schema, output_schema) VALUES ($1, 1, 'test', '', $3, $2, '{}', '{}')",
                graph_id,
                compiled.hash,
                definition_to_json(graph),
            )
        return graph_id, compiled.hash


@asynccontextmanager
async def make_engine(client: Client, database_url: str) -> AsyncIterator[Engine]:
    """Make an engine on a running stack and one of its migrated databases."""
    pool = await asyncpg.create_pool(plain_url(database_url), min_size=1, max_size=4, init=use_json)
    try:
        yield Engine(client, pool, database_url)
    finally:
        await pool.close()


async def use_json(connection: asyncpg.Connection[Any]) -> None:
    """Have a connection decode JSON."""
    await connection.set_type_codec("json", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)


async def has_taken_a_completion(handle: WorkflowHandle[Any, Any]) -> bool:
    """Answer whether a workflow task has ended since a remote call last did: whatever follows from it has begun."""
    completed = tasks = -1
    for event in (await handle.fetch_history()).events:
        if event.HasField("activity_task_completed_event_attributes"):
            completed = event.event_id
        if event.HasField("workflow_task_completed_event_attributes"):
            tasks = event.event_id
    return -1 < completed < tasks


def limited(limits: ExecutionLimits = FAST, **changes: Any) -> ExecutionLimits:
    """Return limits with some changed."""
    return replace(limits, **changes)

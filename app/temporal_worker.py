"""Puts a Temporal worker together: workflows, activities, and the clients they use. One per process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from app.activities.block_calls import BlockCalls
from app.activities.engine import PostgresEngineActivities
from app.activities.origins import Origins
from app.activities.plans import PlanCache
from app.activities.settling import Settling
from app.activities.trials import BlockTrials
from app.activities.values import ValueCache
from app.blocks.base import RemoteBlock
from app.blocks.language_models import LanguageModels
from app.blocks.outbound_http import OutboundHttp
from app.blocks.registry import BlockRegistry, make_registry
from app.database import plain_url
from app.workflows.graph_execution import GraphExecutionWorkflow


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker needs to know."""

    database_url: str
    task_queue: str
    pools: Sequence[str] = ()
    """The pools it serves; empty for the common queue with all workflows."""
    concurrency: int = 100
    """Remote blocks at once."""
    llm_base_url: str | None = None
    openai_api_key: str | None = field(default=None, repr=False)
    anthropic_api_key: str | None = field(default=None, repr=False)
    allowed_private_hosts: frozenset[str] = frozenset()
    graceful_shutdown_seconds: float = 10.0
    """How long running blocks may go on once the worker is asked to stop."""


@contextlib.asynccontextmanager
async def make_workers(
    client: Client,
    config: WorkerConfig,
    *,
    runner: WorkflowRunner | None = None,
    registry: BlockRegistry | None = None,
) -> AsyncIterator[list[Worker]]:
    """Make the workers of this process, one per task queue, and close what they use afterwards.

    Args:
        client: Connected to Temporal.
        config: What to serve, and with what.
        runner: How workflow code is run; unsandboxed unless said otherwise. The import contracts keep it pure, and
            the tests run it in the sandbox.
        registry: The blocks it serves; all of them unless said otherwise.
    """
    pool = await asyncpg.create_pool(
        plain_url(config.database_url),
        min_size=2,
        max_size=12,
        init=_use_json,
        # Nothing here changes a session, so a connection needs no round trip to be cleaned.
        reset=_keep,
        # The few statements of the hot path are planned once; planning would cost more than running them.
        server_settings={"plan_cache_mode": "force_generic_plan", "jit": "off"},
    )
    http = OutboundHttp(allowed_private_hosts=config.allowed_private_hosts)
    models = LanguageModels(
        base_url=config.llm_base_url,
        openai_api_key=config.openai_api_key,
        anthropic_api_key=config.anthropic_api_key,
    )
    try:
        registry = registry or make_registry()
        origins, plans, values = Origins(pool), PlanCache(pool, registry), ValueCache(pool)
        calls = BlockCalls(pool, origins, plans, values, http=http, language_models=models)
        blocks = [calls.activity_for(block) for block in registry if isinstance(block, RemoteBlock)]
        engine = PostgresEngineActivities(pool, origins, plans, values)
        trials = BlockTrials(registry, http=http, language_models=models)
        common = [
            engine.begin,
            engine.wave,
            engine.finish,
            trials.execute_block,
            Settling(client, pool).settle_execution,
        ]
        if config.pools:
            yield [
                _make_worker(client, f"{config.task_queue}-{name}", config, activities=blocks)
                for name in config.pools
            ]
        else:
            yield [
                _make_worker(
                    client,
                    config.task_queue,
                    config,
                    activities=[*blocks, *common],
                    workflows=[GraphExecutionWorkflow],
                    runner=runner,
                )
            ]
    finally:
        await http.aclose()
        await models.aclose()
        await pool.close()


def _make_worker(
    client: Client,
    task_queue: str,
    config: WorkerConfig,
    *,
    activities: Sequence[Any],
    workflows: Sequence[type] = (),
    runner: WorkflowRunner | None = None,
) -> Worker:
    return Worker(
        client,
        task_queue=task_queue,
        activities=activities,
        workflows=workflows,
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        max_concurrent_activities=config.concurrency,
        max_concurrent_local_activities=50,
        max_concurrent_workflow_tasks=20,
        max_cached_workflows=2_000,
        max_eager_activity_reservations_per_workflow_task=100,
        # A worker that dies holds back what is sent to its sticky queue for this long.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        # A cancellation reaches a block with its heartbeat, so this bounds how long a stop takes.
        max_heartbeat_throttle_interval=timedelta(seconds=1.5),
        graceful_shutdown_timeout=timedelta(seconds=config.graceful_shutdown_seconds),
    )


async def _keep(_: asyncpg.Connection[Any]) -> None:
    """Leave a connection as it is."""


async def _use_json(connection: asyncpg.Connection[Any]) -> None:
    await connection.set_type_codec("json", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)

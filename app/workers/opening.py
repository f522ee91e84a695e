"""Makes the Temporal workers of a process, one for each pool that it serves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from app.blocks.registry import BlockRegistry, make_registry
from app.pools import COMMON_POOL, choose_pools, queue_of
from app.telemetry.tallies import Tallies
from app.workers.activities import make_activities
from app.workers.builds import make_deployment
from app.workers.clients import open_clients
from app.workers.config import CONCURRENCY, WorkerConfig
from app.workers.tuning import cached_executions, make_tuner, memory_of_this_machine
from app.workflows.delivery import NotificationDeliveryWorkflow
from app.workflows.graph_execution import GraphExecutionWorkflow
from app.workflows.graph_shard import GraphShardWorkflow
from app.workflows.reconciliation import ReconciliationWorkflow
from app.workflows.scheduled_start import ScheduledStartWorkflow

WORKFLOWS = (
    GraphExecutionWorkflow,
    GraphShardWorkflow,
    ReconciliationWorkflow,
    ScheduledStartWorkflow,
    NotificationDeliveryWorkflow,
)
_NO_BUILD = "perdure"
"""What Temporal notes as the program of a worker without a build. Left out, it is read and hashed from all modules."""


@contextlib.asynccontextmanager
async def make_workers(
    client: Client,
    config: WorkerConfig,
    *,
    runner: WorkflowRunner | None = None,
    registry: BlockRegistry | None = None,
    tallies: Tallies | None = None,
) -> AsyncIterator[list[Worker]]:
    """Make the workers of this process, one per pool, the common one first; close what they use afterwards.

    Args:
        client: Connected to Temporal.
        config: What to serve, and with what.
        runner: How workflow code is run; unsandboxed unless said otherwise. The import contracts keep it pure, and
            the tests run it in the sandbox.
        registry: The blocks it serves; those of the configuration unless said otherwise.
        tallies: Where what happens is counted, for whoever shows it; the database gets it anyway.

    Raises:
        PoolUnknown: It is to serve a pool that no block names.
        RegistryRefused: There is no such choice of blocks.
        SandboxUnfit: It is to execute code, and the sandbox does not hold here.
    """
    registry = registry or make_registry(config.blocks)
    pools = choose_pools(registry.pools, config.pools)
    tallies = tallies or Tallies()
    async with open_clients(config) as clients, tallies.written(clients.pool):
        activities = make_activities(client, clients, config, registry, tallies)
        async with contextlib.aclosing(activities.couriers):
            yield [
                _make_worker(
                    client,
                    name,
                    config,
                    activities=[*activities.of_blocks, *activities.of_engine]
                    if name == COMMON_POOL
                    else activities.of_blocks,
                    workflows=WORKFLOWS if name == COMMON_POOL else [],
                    runner=runner,
                )
                for name in pools
            ]


def _make_worker(
    client: Client,
    pool: str,
    config: WorkerConfig,
    *,
    activities: Sequence[Any],
    workflows: Sequence[type],
    runner: WorkflowRunner | None,
) -> Worker:
    build = config.build_id
    return Worker(
        client,
        task_queue=queue_of(config.task_queue, pool),
        activities=activities,
        workflows=workflows,
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        tuner=make_tuner(config.concurrency.get(pool, CONCURRENCY), config.targets),
        max_cached_workflows=config.cached_executions or cached_executions(memory_of_this_machine()),
        deployment_config=make_deployment(config.task_queue, build) if build else None,
        build_id=None if build else _NO_BUILD,
        max_eager_activity_reservations_per_workflow_task=100,
        # A worker that dies holds back what is sent to its sticky queue for this long.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        # A cancellation reaches a block with its heartbeat, so this bounds how long a stop takes.
        max_heartbeat_throttle_interval=timedelta(seconds=1.5),
        graceful_shutdown_timeout=timedelta(seconds=config.graceful_shutdown_seconds),
    )

"""Puts the Temporal workers of a process together: workflows, activities, and the clients they use."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from app.activities.block_calls import BlockCalls
from app.activities.contexts import Contexts
from app.activities.engine import PostgresEngineActivities
from app.activities.holds import Hold
from app.activities.nesting import NestedGraphs
from app.activities.origins import Origins
from app.activities.plans import PlanCache
from app.activities.reconciling import Reconciling
from app.activities.reviews import Reviews
from app.activities.seeding import Seeding
from app.activities.settling import Settling
from app.activities.tokens import TokenFeed
from app.activities.trials import BlockTrials
from app.activities.value_store import ValueStore
from app.activities.values import ValueCache
from app.activities.vault import Vault
from app.blocks.base import Block, NestedGraphBlock, RemoteBlock, ReviewBlock
from app.blocks.choice import BlockChoice
from app.blocks.registry import BlockRegistry, make_registry
from app.code_sandbox.bubblewrap import BubblewrapSandbox
from app.code_sandbox.opening import SandboxUnfit, open_sandbox
from app.database import Sessions, make_engine, plain_url
from app.encryption.credentials import CredentialsEncryption
from app.encryption.keys import EncryptionKey
from app.files.store import FileLimits, FileStore
from app.llm.language_models import LanguageModels
from app.llm.models import Provider
from app.objects import ObjectStore
from app.outbound.http import OutboundHttp
from app.outbound.oauth import OAuthClient
from app.outbound.oauth_providers import OAuthProvider
from app.outbound.services import WebServices
from app.pools import COMMON_POOL, choose_pools, queue_of
from app.workers.builds import make_deployment
from app.workers.tuning import Targets, cached_executions, make_tuner, memory_of_this_machine
from app.workflows.graph_execution import GraphExecutionWorkflow
from app.workflows.graph_shard import GraphShardWorkflow
from app.workflows.reconciliation import ReconciliationWorkflow

WORKFLOWS = (GraphExecutionWorkflow, GraphShardWorkflow, ReconciliationWorkflow)
CONCURRENCY = 100
"""Remote blocks that a pool runs at once unless it is told otherwise."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker needs to know."""

    database_url: str
    task_queue: str
    blocks: BlockChoice = field(default_factory=BlockChoice)
    """Which blocks there are, and which of them are on."""
    pools: Sequence[str] = ()
    """The pools it serves; empty for all."""
    concurrency: Mapping[str, int] = field(default_factory=dict)
    """Remote blocks at once, by pool; 100 for those that are not in it."""
    targets: Targets | None = None
    """How loaded the machine may be before it takes no further remote block; None to look at their number alone."""
    cached_executions: int | None = None
    """Executions kept in memory between two tasks; None for what the memory allows."""
    llm_base_url: str | None = None
    llm_api_keys: Mapping[Provider, str] = field(default_factory=dict, repr=False)
    default_model: str | None = None
    model_map: Mapping[str, str] = field(default_factory=dict)
    encryption_keys: Sequence[EncryptionKey] = ()
    """Keys of the secrets in credentials, newest first."""
    oauth_providers: Mapping[str, OAuthProvider] = field(default_factory=dict)
    """Where logins are refreshed, by name."""
    allowed_private_hosts: frozenset[str] = frozenset()
    own_services: Sequence[str] = ()
    """`host:port` of what this system is made of, which no block reaches."""
    executes_code: bool = False
    """Whether it opens a sandbox for code."""
    web: WebServices = field(default_factory=WebServices)
    objects: ObjectStore | None = field(default=None, repr=False)
    """Where bodies of large values are kept; None for the database."""
    file_limits: FileLimits = field(default_factory=FileLimits)
    """How large files may be, and all of a user together."""
    execution_file_days: float = 30.0
    """How long files that an execution has made are kept after its end."""
    graceful_shutdown_seconds: float = 10.0
    """How long running blocks may go on once the worker is asked to stop."""
    build_id: str | None = None
    """The build that it is; executions that begin on it stay on it. None for a worker that takes any execution."""


@contextlib.asynccontextmanager
async def make_workers(
    client: Client,
    config: WorkerConfig,
    *,
    runner: WorkflowRunner | None = None,
    registry: BlockRegistry | None = None,
) -> AsyncIterator[list[Worker]]:
    """Make the workers of this process, one per pool, the common one first; close what they use afterwards.

    Args:
        client: Connected to Temporal.
        config: What to serve, and with what.
        runner: How workflow code is run; unsandboxed unless said otherwise. The import contracts keep it pure, and
            the tests run it in the sandbox.
        registry: The blocks it serves; those of the configuration unless said otherwise.

    Raises:
        PoolUnknown: It is to serve a pool that no block names.
        RegistryRefused: There is no such choice of blocks.
        SandboxUnfit: It is to execute code, and the sandbox does not hold here.
    """
    registry = registry or make_registry(config.blocks)
    pools = choose_pools(registry.pools, config.pools)
    pool = await _connect(config.database_url)
    try:
        sandbox = await open_sandbox() if config.executes_code else None
    except SandboxUnfit:
        await pool.close()
        raise
    http = OutboundHttp(allowed_private_hosts=config.allowed_private_hosts, own_services=config.own_services)
    models = LanguageModels(
        base_url=config.llm_base_url,
        api_keys=config.llm_api_keys,
        default_model=config.default_model,
        model_map=config.model_map,
    )
    tokens = TokenFeed(pool)
    # For files alone, which the API keeps in the same way; it connects when one is first used.
    database = make_engine(config.database_url, pool_size=2, max_overflow=4)
    files = FileStore(Sessions(database), config.objects, limits=config.file_limits)
    try:
        activities = _make_activities(
            client,
            pool,
            config,
            registry,
            http=http,
            language_models=models,
            tokens=tokens,
            files=files,
            sandbox=sandbox,
        )
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
    finally:
        if sandbox is not None:
            sandbox.close()
        await tokens.aclose()
        await database.dispose()
        await http.aclose()
        await models.aclose()
        await pool.close()


async def _connect(database_url: str) -> asyncpg.Pool[Any]:
    return await asyncpg.create_pool(
        plain_url(database_url),
        min_size=2,
        max_size=12,
        init=_use_json,
        # Nothing here changes a session, so a connection needs no round trip to be cleaned.
        reset=_keep,
        # The few statements of the hot path are planned once; planning would cost more than running them.
        server_settings={"plan_cache_mode": "force_generic_plan", "jit": "off"},
    )


@dataclass(frozen=True, slots=True)
class _Activities:
    of_blocks: list[Any]
    """A pool serves every remote block: which pool a block was in when its graph was saved, the plan says."""
    of_engine: list[Any]
    """For the common pool alone."""


def _make_activities(  # noqa: PLR0913 - what was opened for this process, nearly all of it by name
    client: Client,
    pool: asyncpg.Pool[Any],
    config: WorkerConfig,
    registry: BlockRegistry,
    *,
    http: OutboundHttp,
    language_models: LanguageModels,
    tokens: TokenFeed,
    files: FileStore,
    sandbox: BubblewrapSandbox | None,
) -> _Activities:
    origins, plans, values = (
        Origins(pool),
        PlanCache(pool, registry),
        ValueCache(ValueStore(pool, config.objects)),
    )
    vault = Vault(
        pool, CredentialsEncryption(config.encryption_keys), OAuthClient(http, config.oauth_providers)
    )
    contexts = Contexts(
        http=http,
        language_models=language_models,
        vault=vault,
        pool=pool,
        values=values,
        tokens=tokens,
        files=files,
        web=config.web,
        sandbox=sandbox,
    )
    calls = BlockCalls(pool, origins, plans, values, contexts)
    trials = BlockTrials(registry, contexts)
    settling = Settling(client, pool)
    holds: dict[type[Block], Hold] = {
        ReviewBlock: Reviews(pool),
        NestedGraphBlock: NestedGraphs(pool, origins, plans, settling, registry.signatures),
    }
    seeding = Seeding(pool, values, registry.signatures)
    engine = PostgresEngineActivities(client, pool, origins, plans, values, holds=holds, seeding=seeding)
    reconciling = Reconciling(
        client,
        pool,
        settling,
        task_queue=config.task_queue,
        objects=config.objects,
        execution_files_kept=timedelta(days=config.execution_file_days),
    )
    blocks = [calls.activity_for(block) for block in registry if isinstance(block, RemoteBlock)]
    return _Activities(
        of_blocks=[*blocks, trials.execute_block],
        of_engine=[
            engine.begin,
            engine.wave,
            engine.seed,
            engine.store,
            engine.fetch_part,
            engine.finish,
            settling.settle_execution,
            reconciling.reconcile_page,
            reconciling.adopt_unrecorded,
            reconciling.collect,
        ],
    )


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

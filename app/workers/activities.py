"""Makes the activities of a process out of its clients, by the pools that serve them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import Client

from app.activities.block_calls import BlockCalls
from app.activities.contexts import Contexts
from app.activities.couriers import Couriers
from app.activities.delivering import Delivering, Reach
from app.activities.engine import PostgresEngineActivities
from app.activities.holds import Hold
from app.activities.missing_blocks import hand_back
from app.activities.nesting import NestedGraphs
from app.activities.origins import Origins
from app.activities.plans import PlanCache
from app.activities.queue import Queue
from app.activities.reconciling import Reconciling
from app.activities.reviews import Reviews
from app.activities.schedule_reconciling import ScheduleReconciling
from app.activities.scheduled_starts import ScheduledStarts
from app.activities.seeding import Seeding
from app.activities.settling import Settling
from app.activities.trials import BlockTrials
from app.activities.value_store import ValueStore
from app.activities.values import ValueCache
from app.activities.vault import Vault
from app.blocks.base import Block, RemoteBlock
from app.blocks.holds import NestedGraphBlock, ReviewBlock
from app.blocks.registry import BlockRegistry
from app.encryption.credentials import CredentialsEncryption
from app.outbound.oauth import OAuthClient
from app.starting.choosing import Choosing
from app.starting.deciding import Deciding
from app.starting.limits import LimitPolicy
from app.starting.nesting import Nesting
from app.starting.values import Values
from app.telemetry.tallies import Tallies
from app.workers.clients import Clients
from app.workers.config import WorkerConfig


@dataclass(frozen=True, slots=True)
class Activities:
    """What the workers of a process carry out."""

    of_blocks: list[Any]
    """A pool serves every remote block: which pool a block was in when its graph was saved, the plan says."""
    of_engine: list[Any]
    """For the common pool alone."""
    couriers: Couriers
    """To be closed after them."""


def make_activities(
    client: Client, clients: Clients, config: WorkerConfig, registry: BlockRegistry, tallies: Tallies
) -> Activities:
    """Return the activities, which share what they remember.

    Args:
        client: Connected to Temporal.
        clients: What they reach the world with.
        config: Of the workers.
        registry: The blocks to be served.
        tallies: Where they count.
    """
    pool, recorder = clients.pool, clients.recorder
    origins, plans = Origins(pool), PlanCache(pool, registry)
    values = ValueCache(ValueStore(pool, config.objects))
    contexts = _make_contexts(clients, config, values)
    couriers = Couriers(client, pool, task_queue=config.task_queue)
    calls = BlockCalls(pool, recorder, origins, plans, values, contexts, couriers, tallies)
    trials = BlockTrials(registry, contexts, pool)
    queue = Queue(client, pool, most_running=config.running_per_user)
    settling = Settling(client, pool, recorder, queue, couriers, tallies)
    holds: dict[type[Block], Hold] = {
        ReviewBlock: Reviews(pool),
        NestedGraphBlock: NestedGraphs(pool, origins, plans, settling, registry.signatures),
    }
    seeding = Seeding(pool, recorder, values, registry.signatures)
    engine = PostgresEngineActivities(
        client,
        pool,
        origins,
        plans,
        values,
        recorder=recorder,
        holds=holds,
        seeding=seeding,
        queue=queue,
        couriers=couriers,
        tallies=tallies,
    )
    reconciling = Reconciling(
        client,
        pool,
        settling,
        queue,
        couriers,
        task_queue=config.task_queue,
        tallies=tallies,
        objects=config.objects,
        execution_files_kept=timedelta(days=config.execution_file_days),
    )
    return Activities(
        of_blocks=[
            *(calls.activity_for(block) for block in registry if isinstance(block, RemoteBlock)),
            trials.execute_block,
            hand_back,
        ],
        of_engine=[
            *_of_engine(engine),
            settling.settle_execution,
            _make_delivering(clients, couriers, config, tallies).deliver,
            *_of_reconciler(reconciling),
            *_of_schedules(client, clients, config, registry, settling, tallies),
        ],
        couriers=couriers,
    )


def _of_engine(engine: PostgresEngineActivities) -> list[Any]:
    return [engine.begin, engine.wave, engine.seed, engine.store, engine.fetch_part, engine.finish]


def _of_reconciler(reconciling: Reconciling) -> list[Any]:
    return [reconciling.reconcile_page, reconciling.adopt_unrecorded, reconciling.collect]


def _make_delivering(
    clients: Clients, couriers: Couriers, config: WorkerConfig, tallies: Tallies
) -> Delivering:
    reach = Reach(
        http=clients.http,
        allowed_private_hosts=config.allowed_private_hosts,
        mail=config.mail,
        encryption=CredentialsEncryption(config.encryption_keys),
        base_url=config.api_url or "",
    )
    return Delivering(clients.pool, couriers, reach, config.delivery_rules, tallies)


def _of_schedules(
    client: Client,
    clients: Clients,
    config: WorkerConfig,
    registry: BlockRegistry,
    settling: Settling,
    tallies: Tallies,
) -> list[Any]:
    sessions = clients.sessions
    values = Values(sessions, config.objects)
    choosing = Choosing(sessions, Nesting(sessions, registry.signatures, max_depth=config.limits.max_depth))
    limits = LimitPolicy(config.limits, most_node_executions=config.most_node_executions)
    deciding = Deciding(sessions, registry, values, choosing, limits)
    starts = ScheduledStarts(
        client,
        clients.pool,
        sessions,
        deciding,
        values,
        limits=limits,
        settling=settling,
        api_url=config.api_url,
    )
    reconciling = ScheduleReconciling(client, sessions, task_queue=config.task_queue, tallies=tallies)
    return [starts.decide_fire, reconciling.reconcile_schedules]


def _make_contexts(clients: Clients, config: WorkerConfig, values: ValueCache) -> Contexts:
    oauth = OAuthClient(clients.http, config.oauth_providers)
    return Contexts(
        http=clients.http,
        language_models=clients.language_models,
        vault=Vault(clients.pool, CredentialsEncryption(config.encryption_keys), oauth),
        pool=clients.pool,
        values=values,
        tokens=clients.tokens,
        files=clients.files,
        web=config.web,
        sandbox=clients.sandbox,
    )

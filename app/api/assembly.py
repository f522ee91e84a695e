"""Puts together what requests are served from. Done once a process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from temporalio.client import Client

from app.api.auditing import AuditTrail
from app.api.callers import Callers
from app.api.config import ApiConfig
from app.api.edge.rate_limits import RateLimits
from app.api.engine import Engine
from app.api.idempotency import IdempotentCalls
from app.api.live.event_hub import EventHub
from app.api.live.open_streams import OpenStreams
from app.api.metrics import ApiMetrics
from app.api.parts.live import make_live
from app.api.parts.published import make_published
from app.api.parts.selling import make_selling
from app.api.parts.signing import make_link_signer, make_token_reader, signing_keys
from app.api.parts.triggers import Triggers
from app.api.resources import Resources
from app.api.services.administration import Administration
from app.api.services.agent_files import AgentFiles
from app.api.services.api_keys import ApiKeys
from app.api.services.audit_log import AuditLog
from app.api.services.bulk_rerun import BulkRerunning
from app.api.services.bulk_stop import BulkStopping
from app.api.services.catalogue import Catalogue
from app.api.services.codec import Codec
from app.api.services.control import Control
from app.api.services.credentials import CredentialsStore
from app.api.services.credits import Credits
from app.api.services.facts import Facts
from app.api.services.files import Files
from app.api.services.funding import Funding
from app.api.services.graphs import Graphs
from app.api.services.health import Health
from app.api.services.launching import Launching
from app.api.services.memories import Memories
from app.api.services.notifications import Notifications
from app.api.services.oauth_logins import OAuthLogins
from app.api.services.oversight import Oversight
from app.api.services.planning import Planning
from app.api.services.presets import Presets
from app.api.services.publications import Publications
from app.api.services.records import ExecutionRecords
from app.api.services.rerunning import Rerunning
from app.api.services.reviews import Reviews
from app.api.services.schedules import Schedules
from app.api.services.starting import Starting
from app.api.services.trials import Trials
from app.api.services.upkeep import Upkeep
from app.api.services.users import Users
from app.api.services.views import Views
from app.api.services.waiting import Waiting
from app.api.services.webhooks import Webhooks
from app.api.webhooks.proving import WebhookProving
from app.api.webhooks.receiving import WebhookReceiving
from app.blocks.registry import BlockRegistry, make_registry
from app.database import Sessions, make_engine
from app.encryption.credentials import CredentialsEncryption
from app.files.store import FileStore
from app.outbound.http import OutboundHttp
from app.outbound.oauth import OAuthClient
from app.pools import queue_of
from app.starting.choosing import Choosing
from app.starting.deciding import Deciding
from app.starting.limits import LimitPolicy
from app.starting.nesting import Nesting
from app.starting.values import Values
from app.tenants import make_tenant_engine

SYSTEM_CONNECTIONS = 5
"""Kept for what is for no user: far less than requests need."""


def make_resources(
    config: ApiConfig, connect: Callable[[], Awaitable[Client]], *, registry: BlockRegistry | None = None
) -> Resources:
    """Build what requests are served from. Nothing is connected yet.

    Args:
        config: What the API needs to know.
        connect: Connects to Temporal; called again whenever there is no connection yet.
        registry: The blocks there are; those of the configuration unless said otherwise.

    Raises:
        ValueError: The configuration says neither secret nor key set for tokens.
        RegistryRefused: There is no such choice of blocks.
    """
    deadline_seconds = config.stop_deadline_seconds
    tenants = make_tenant_engine(config.database_url)
    sessions = Sessions(tenants)
    # Only for what is for no user, or for all: a query that forgets its owner finds everybody's here.
    system = make_engine(config.database_url, pool_size=SYSTEM_CONNECTIONS, max_overflow=SYSTEM_CONNECTIONS)
    system_sessions = Sessions(system)
    engine = Engine(connect, config.temporal_address)
    funding = Funding(system_sessions, engine)
    values = Values(sessions, config.objects)
    hub = EventHub(config.database_url)
    registry = registry or make_registry(config.blocks)
    calls = IdempotentCalls(sessions)
    records = ExecutionRecords(sessions, engine, task_queue=config.task_queue)
    waiting = Waiting(sessions, hub, records)
    control = Control(sessions, engine, records, waiting, stop_deadline_seconds=deadline_seconds)
    launching = _make_launching(config, sessions, engine, records)
    http = OutboundHttp(allowed_private_hosts=config.allowed_private_hosts)
    encryption = CredentialsEncryption(config.encryption_keys)
    oauth = OAuthClient(http, config.oauth_providers)
    credentials = CredentialsStore(sessions, encryption, system_sessions=system_sessions)
    nesting = Nesting(sessions, registry.signatures, max_depth=config.limits.max_depth)
    choosing = Choosing(sessions, nesting)
    deciding = Deciding(sessions, registry, values, choosing, _limit_policy(config))
    rerunning = Rerunning(sessions, registry, records, values, choosing, launching, _limit_policy(config))
    starting = Starting(deciding, launching)
    schedules = Schedules(
        sessions,
        engine,
        deciding,
        registry,
        task_queue=config.task_queue,
        most_per_user=config.schedules_per_user,
    )
    rate_limits = RateLimits(config.rates)
    streams = OpenStreams(per_user=config.streams_per_user)
    metrics = ApiMetrics(open_streams=streams.count_all)
    graphs = Graphs(sessions, registry, nesting, schedules)
    health = Health(system_sessions, engine)
    views = _make_views(config, sessions, values)
    return Resources(
        tenants=tenants,
        system=system,
        hub=hub,
        registry=registry,
        catalogue=Catalogue(registry),
        models=config.models,
        rate_limits=rate_limits,
        trusted_proxies=config.trusted_proxies,
        streams=streams,
        live=make_live(
            sessions,
            hub,
            waiting=waiting,
            records=records,
            views=views,
            graphs=graphs,
            keys=signing_keys(config),
            origins=config.cors_origins,
        ),
        callers=Callers(make_token_reader(config), system_sessions, initial_credits=config.initial_credits),
        audit_trail=AuditTrail(system_sessions),
        audit_log=AuditLog(sessions, system_sessions),
        administration=Administration(system_sessions, funding),
        oversight=Oversight(
            system_sessions,
            engine,
            records,
            control,
            waiting,
            funding,
            queues=[queue_of(config.task_queue, pool) for pool in ("", *sorted(registry.pools))],
        ),
        graphs=graphs,
        schedules=schedules,
        agent_files=AgentFiles(sessions, registry, nesting),
        planning=Planning(sessions, registry, nesting, choosing, limits=config.limits),
        credentials=credentials,
        oauth_logins=OAuthLogins(sessions, encryption, oauth, credentials),
        http=http,
        starting=starting,
        deciding=deciding,
        rerunning=rerunning,
        bulk_rerunning=BulkRerunning(sessions, rerunning, calls),
        records=records,
        waiting=waiting,
        control=control,
        bulk_stopping=BulkStopping(sessions, engine, records, stop_deadline_seconds=deadline_seconds),
        values=values,
        views=views,
        reviews=Reviews(
            sessions, engine, values, system_sessions=system_sessions, links=make_link_signer(config)
        ),
        trials=Trials(engine, task_queue=config.task_queue),
        idempotent_calls=calls,
        users=Users(sessions),
        api_keys=ApiKeys(sessions),
        memories=Memories(sessions),
        notifications=Notifications(
            sessions,
            engine,
            encryption,
            task_queue=config.task_queue,
            allowed_private_hosts=config.allowed_private_hosts,
            sends_mail=config.sends_mail,
        ),
        funding=funding,
        credits=Credits(sessions, funding),
        selling=make_selling(sessions, system_sessions, config.payments, sale=config.sale, funding=funding),
        published=make_published(
            Publications(sessions, values, choosing),
            starting,
            waiting,
            records,
            views,
            rate_limits=rate_limits,
            origins=config.cors_origins,
        ),
        triggers=Triggers(
            presets=Presets(sessions, registry, values, choosing),
            webhooks=Webhooks(sessions, encryption, registry, choosing),
            receiving=WebhookReceiving(
                sessions,
                registry,
                deciding,
                launching,
                proving=WebhookProving(system_sessions, encryption),
                rate_limits=rate_limits,
                metrics=metrics,
            ),
            public_url=config.api_url,
        ),
        files=Files(sessions, FileStore(sessions, config.objects, limits=config.file_limits)),
        codec=Codec(config.encryption_keys, capability=config.codec_capability),
        health=health,
        metrics=metrics,
        metrics_access=config.metrics_access,
        facts=Facts(system_sessions, health),
        upkeep=Upkeep(
            engine,
            task_queue=config.task_queue,
            every_seconds=config.reconcile_seconds,
            silent_seconds=config.reconciler_silent_seconds,
        ),
    )


def _make_launching(
    config: ApiConfig, sessions: Sessions, engine: Engine, records: ExecutionRecords
) -> Launching:
    return Launching(
        sessions,
        engine,
        records,
        task_queue=config.task_queue,
        limits=_limit_policy(config),
        api_url=config.api_url,
    )


def _limit_policy(config: ApiConfig) -> LimitPolicy:
    return LimitPolicy(
        config.limits,
        most_node_executions=config.most_node_executions,
        timeout_margin_seconds=config.timeout_margin_seconds,
    )


def _make_views(config: ApiConfig, sessions: Sessions, values: Values) -> Views:
    return Views(
        sessions,
        values,
        temporal_ui_url=config.temporal_ui_url,
        temporal_namespace=config.temporal_namespace,
    )

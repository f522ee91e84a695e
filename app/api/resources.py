"""What requests of one process are served from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from app.api.auditing import AuditTrail
from app.api.callers import Callers
from app.api.edge.rate_limits import RateLimits
from app.api.idempotency import IdempotentCalls
from app.api.live.event_hub import EventHub
from app.api.live.open_streams import OpenStreams
from app.api.metrics import ApiMetrics, MetricsAccess
from app.api.parts.live import Live
from app.api.parts.published import Published
from app.api.parts.selling import Selling
from app.api.parts.triggers import Triggers
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
from app.api.services.memories import Memories
from app.api.services.notifications import Notifications
from app.api.services.oauth_logins import OAuthLogins
from app.api.services.oversight import Oversight
from app.api.services.planning import Planning
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
from app.blocks.registry import BlockRegistry
from app.llm.routing import Routes
from app.outbound.http import OutboundHttp
from app.proxies import TrustedProxies
from app.starting.deciding import Deciding
from app.starting.values import Values


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Everything that requests are served from."""

    tenants: AsyncEngine
    """Sees what is the user's for whom a request works."""
    system: AsyncEngine
    """Sees everything."""
    hub: EventHub
    registry: BlockRegistry
    catalogue: Catalogue
    models: Routes
    callers: Callers
    audit_trail: AuditTrail
    audit_log: AuditLog
    administration: Administration
    oversight: Oversight
    rate_limits: RateLimits
    trusted_proxies: TrustedProxies
    streams: OpenStreams
    live: Live
    graphs: Graphs
    schedules: Schedules
    agent_files: AgentFiles
    planning: Planning
    credentials: CredentialsStore
    oauth_logins: OAuthLogins
    http: OutboundHttp
    starting: Starting
    deciding: Deciding
    rerunning: Rerunning
    bulk_rerunning: BulkRerunning
    records: ExecutionRecords
    waiting: Waiting
    control: Control
    bulk_stopping: BulkStopping
    values: Values
    views: Views
    reviews: Reviews
    trials: Trials
    idempotent_calls: IdempotentCalls
    users: Users
    api_keys: ApiKeys
    files: Files
    memories: Memories
    notifications: Notifications
    funding: Funding
    credits: Credits
    selling: Selling
    triggers: Triggers
    published: Published
    codec: Codec
    health: Health
    metrics: ApiMetrics
    metrics_access: MetricsAccess
    facts: Facts
    upkeep: Upkeep

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep what runs in the background running, and close everything afterwards."""
        await self.hub.start()
        self.upkeep.start()
        self.selling.start()
        try:
            yield
        finally:
            await self.selling.stop()
            await self.upkeep.stop()
            await self.hub.stop()
            await self.http.aclose()
            await self.rate_limits.aclose()
            await self.tenants.dispose()
            await self.system.dispose()

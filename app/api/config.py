"""What the API of one process needs to know. Where it is read from is the root's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.types import ASGIApp

from app.activities.contracts.execution import ExecutionLimits
from app.api.edge.rate_limits import RateRules
from app.api.metrics import MetricsAccess
from app.api.services.top_ups import Sale
from app.blocks.choice import BlockChoice
from app.encryption.keys import EncryptionKey
from app.files.store import FileLimits
from app.llm.routing import Routes
from app.objects import ObjectStore
from app.outbound.oauth_providers import OAuthProvider
from app.payments.payments import PaymentService
from app.proxies import TrustedProxies
from app.starting.limits import MOST_NODE_EXECUTIONS


@dataclass(frozen=True, kw_only=True)
class ApiConfig:
    """What the API needs to know."""

    database_url: str = field(repr=False)
    temporal_address: str = ""
    """Where Temporal is, for the log; how to connect is not decided here."""
    temporal_namespace: str = "default"
    task_queue: str = "perdure"
    temporal_ui_url: str | None = None
    """Temporal's Web UI, for links; without it there are none."""
    api_url: str | None = None
    """Where people reach the API, for links from the Web UI; without it there are none."""
    jwt_secret: str | None = field(default=None, repr=False)
    """Secret of HS256 tokens."""
    jwt_jwks_url: str | None = None
    """Key set of RS256 and ES256 tokens, instead of the secret."""
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_leeway_seconds: int = 0
    """How far the clock of whoever issues tokens may differ."""
    encryption_keys: Sequence[EncryptionKey] = ()
    """Keys of what Temporal stores and of credentials, newest first."""
    oauth_providers: Mapping[str, OAuthProvider] = field(default_factory=dict)
    """Where users may log in, by name."""
    allowed_private_hosts: frozenset[str] = frozenset()
    """Private hosts that logins may be exchanged at."""
    sends_mail: bool = False
    """Whether workers have a mail server, over which users are written to."""
    codec_capability: str | None = field(default=None, repr=False)
    """Secret part of a path under which the embedded Web UI has payloads decrypted; without it there is none."""
    blocks: BlockChoice = field(default_factory=BlockChoice)
    """Which blocks there are, and which of them are on."""
    models: Routes = field(default_factory=lambda: Routes(frozenset()))
    """Which language models are asked for those that are named."""
    initial_credits: int = 1000
    payments: PaymentService | None = field(default=None, repr=False)
    """Who takes the money for credits; None when none can be bought."""
    sale: Sale = field(default_factory=Sale)
    """On what terms credits are sold."""
    objects: ObjectStore | None = field(default=None, repr=False)
    """Where bodies of large values are kept; None for the database."""
    file_limits: FileLimits = field(default_factory=FileLimits)
    """How large files may be, and all of a user together."""
    limits: ExecutionLimits = field(default_factory=ExecutionLimits)
    """Bounds of an execution that asks for none; its time-out is also the longest that one may ask for."""
    most_node_executions: int = MOST_NODE_EXECUTIONS
    """The most node executions that an execution may ask for."""
    rates: RateRules = field(default_factory=RateRules)
    """How many requests a caller may make."""
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    """Who is believed about where a request comes from."""
    cors_origins: Sequence[str] = ()
    """Origins whose pages may call the API."""
    is_https: bool = False
    """Whether people reach the API by https alone."""
    streams_per_user: int = 100
    """Event streams that a user may have open."""
    schedules_per_user: int = 100
    """Schedules that a user may have."""
    request_tracing: Callable[[ASGIApp], ASGIApp] | None = None
    """Middleware that traces requests, if they are traced."""
    metrics_access: MetricsAccess = field(default_factory=MetricsAccess)
    """Who may read metrics."""
    timeout_margin_seconds: float = 60.0
    """How long after an execution's time is up Temporal ends it, should it not have ended by itself."""
    stop_deadline_seconds: float = 4.0
    """How long a stop waits before it terminates."""
    reconcile_seconds: float | None = None
    """How often what is open is compared with Temporal; None leaves its schedule alone."""
    reconciler_silent_seconds: float = 15.0
    """How long a worker that reconciles may give no sign of life before another one goes on."""

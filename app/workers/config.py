"""What the workers of a process need to know. Where it is read from is the root's business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.activities.contracts.execution import ExecutionLimits
from app.blocks.choice import BlockChoice
from app.encryption.keys import EncryptionKey
from app.files.store import FileLimits
from app.llm.models import Provider
from app.notifying.rules import DeliveryRules
from app.objects import ObjectStore
from app.outbound.mail import MailServer
from app.outbound.oauth_providers import OAuthProvider
from app.outbound.services import WebServices
from app.starting.limits import MOST_NODE_EXECUTIONS
from app.workers.tuning import Targets

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
    running_per_user: int = 0
    """Executions of a user that run at once, nested ones not counted; 0 for any number."""
    limits: ExecutionLimits = field(default_factory=ExecutionLimits)
    """Bounds of an execution that a schedule starts without saying any."""
    most_node_executions: int = MOST_NODE_EXECUTIONS
    """The most node executions that a schedule may ask for."""
    mail: MailServer | None = None
    """Over which users are written to; None for not at all."""
    api_url: str | None = None
    """Where people reach the API, for what users are told; without it addresses have no host."""
    delivery_rules: DeliveryRules = field(default_factory=DeliveryRules)
    """How long and how often notifications are tried."""
    graceful_shutdown_seconds: float = 10.0
    """How long running blocks may go on once the worker is asked to stop."""
    build_id: str | None = None
    """The build that it is; executions that begin on it stay on it. None for a worker that takes any execution."""

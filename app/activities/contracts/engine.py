"""The helper activities of an execution: how it begins, what is stored and fetched for it, how it ends."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity

from app.activities.contracts.execution import ErrorRecord, ExecutionRef, ExecutionStart, StoredState
from app.activities.contracts.waves import Loss, WaveRequest, WaveResult
from app.graph.envelope import Envelope


@dataclass(frozen=True)
class BeginRequest:
    """Asks to record that an execution has begun."""

    execution_id: str
    start: ExecutionStart


@dataclass(frozen=True)
class BeginResult:
    """The plan to walk, or why the execution must not go on."""

    plan: dict[str, Any] | None = None
    """None also when it comes in parts."""
    refusal: ErrorRecord | None = None
    plan_parts: int = 0
    """How many parts to fetch instead."""
    is_admitted: bool = True
    """Whether it may begin; if not, so many of its user's executions run that it has to wait for its turn."""


@dataclass(frozen=True)
class SeedRequest:
    """Asks for the state that a rerun begins with, and to record what it reuses."""

    execution: ExecutionRef
    start: ExecutionStart


@dataclass(frozen=True)
class StoreRequest:
    """Asks to store what is too large to travel, or what the next run goes on from."""

    execution: ExecutionRef
    value: Any


@dataclass(frozen=True)
class PartRequest:
    """Asks for a piece of something that is too large for one result."""

    execution: ExecutionRef
    document: Envelope | None
    """Where the document is stored; None for the plan."""
    part: int
    """Counted from 0."""


@dataclass(frozen=True)
class FinishRequest:
    """Asks to record how an execution ended."""

    execution_id: str
    start: ExecutionStart
    status: str
    error: ErrorRecord | None = None
    losses: list[Loss] = field(default_factory=list)
    starved: list[tuple[int, int]] = field(default_factory=list)
    """(node, firings left without all their inputs)."""
    unreached: list[int] = field(default_factory=list)


class EngineActivities(ABC):
    """The helper activities of an execution. All are local: none costs a round trip of its own."""

    @activity.defn(name="begin")
    @abstractmethod
    async def begin(self, request: BeginRequest) -> BeginResult:
        """Record that the execution has begun, check its owner, and return the plan."""

    @activity.defn(name="wave")
    @abstractmethod
    async def wave(self, request: WaveRequest) -> WaveResult:
        """Walk what is pure, and record it."""

    @activity.defn(name="seed")
    @abstractmethod
    async def seed(self, request: SeedRequest) -> StoredState:
        """Record what a rerun reuses, and store the state that it begins with."""

    @activity.defn(name="store")
    @abstractmethod
    async def store(self, request: StoreRequest) -> StoredState:
        """Store a value, however small."""

    @activity.defn(name="fetch_part")
    @abstractmethod
    async def fetch_part(self, request: PartRequest) -> str:
        """Return a piece of a compressed document, in base64."""

    @activity.defn(name="finish")
    @abstractmethod
    async def finish(self, request: FinishRequest) -> None:
        """Record how the execution ended. A repeat changes nothing."""

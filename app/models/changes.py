"""What one transaction writes of a live execution. How it is written is not known here."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.errors import PerdureError
from app.graph.envelope import Envelope
from app.graph.status import Status
from app.models.conversations import TurnRecord
from app.models.review_writes import ReviewRecord
from app.models.spending import Settlement


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A row of `node_executions` as it now stands. JSON columns hold JSON text."""

    id: uuid.UUID
    node: int
    node_id: str
    block_id: str
    n: int
    status: Status
    inputs: str
    outputs: str = "[]"
    error: str | None = None
    attempt: int = 1
    cost: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    called_by: uuid.UUID | None = None
    usage: str | None = None


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event to be appended."""

    key: str
    type: str
    data: str
    """JSON text."""


@dataclass(frozen=True, slots=True)
class ValueRecord:
    """A new value that the record refers to. One that turned out to be stored has neither body nor object here."""

    sha256: str
    size: int
    body: bytes | None = None
    """Compressed text, to be kept in Postgres."""
    object: str | None = None
    """Name of the object that holds it."""


@dataclass(frozen=True, slots=True)
class NewExecution:
    """An execution as it was started."""

    id: str
    user_id: str
    graph_id: str
    graph_version: int
    plan_hash: str
    trigger: str
    inputs: Envelope
    created_at: datetime
    parent_id: str | None = None
    parent_node: tuple[int, int] | None = None
    """(node, n) of the node execution in the parent, when it is nested."""
    fingerprint: str = ""
    budget: int | None = None
    root_id: str | None = None
    on_insufficient_credits: str = "pause"
    trigger_id: str | None = None
    """Of the schedule or webhook that has started it."""
    preset_id: str | None = None
    credentials: Mapping[str, str] = field(default_factory=dict)
    """Ids of the credentials that were chosen, by key."""


@dataclass(slots=True)
class Changes:
    """What one transaction writes."""

    nodes: dict[uuid.UUID, NodeRecord] = field(default_factory=dict)
    """By id: a row is written once per transaction."""
    events: list[EventRecord] = field(default_factory=list)
    values: list[ValueRecord] = field(default_factory=list)
    uses: set[str] = field(default_factory=set)
    """Hashes of stored values that the record refers to; those of `values` need not be among them."""
    reviews: list[ReviewRecord] = field(default_factory=list)
    turns: list[TurnRecord] = field(default_factory=list)
    """Turns of node executions that call others."""
    settlements: list[Settlement] = field(default_factory=list)
    """What ends with the node executions that were paid for."""
    unpaid: list[uuid.UUID] = field(default_factory=list)
    """Ids of node executions that have ended otherwise: what is still reserved for them is released."""
    nested: list[NewExecution] = field(default_factory=list)
    """Executions that begin to be nested in this one; written by `execution_writes.record_with_nested` only."""
    status: Status | None = None
    """The execution's new status, if it changes and is not its last."""
    paused_for: str = ""
    """The code of what the engine has paused the execution for, if that is its new status."""
    runs_low: bool = False
    """Whether a settlement has left few credits, which is known when they are written."""

    def add_node(self, node: NodeRecord) -> None:
        """Write this row; what was said of it before is superseded."""
        self.nodes[node.id] = node


class ValueCollected(PerdureError):
    """A stored value was collected just when it was to be used again: it has to be stored anew."""

"""A wave: what it is asked for, what is told to the record with it, and the steps it answers with."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from app.activities.contracts.execution import ExecutionLimits, ExecutionRef
from app.activities.contracts.messages import Release
from app.graph.envelope import Envelope


@dataclass(frozen=True)
class Ring:
    """A timer that has gone off."""

    node: int
    n: int
    inputs: list[tuple[int, Envelope]]
    round: int
    """1 for the first time this node execution's timer goes off."""
    is_last: bool


@dataclass(frozen=True)
class Reminder:
    """A review that has waited so long that somebody should be reminded."""

    node: int
    n: int


@dataclass(frozen=True)
class Loss:
    """A remote node execution that failed without its activity having recorded it."""

    node: int
    n: int
    code: str
    message: str
    called_by: tuple[int, int] | None = None
    """(node, n) of the node execution that had called it."""


@dataclass(frozen=True)
class StatusMark:
    """A change of the execution's status to be recorded."""

    status: str
    number: int
    """Counts the changes of this execution, so that a repeat is recognised."""
    reason: str = ""
    """The code of what the engine has paused it for; empty when a person has."""


@dataclass(frozen=True)
class WaveRequest:
    """Asks to walk everything pure that is ready or becomes ready, and to record it."""

    execution: ExecutionRef
    state: dict[str, Any]
    """A wave snapshot of the scheduler."""
    max_node_executions: int
    rings: list[Ring] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    marks: list[StatusMark] = field(default_factory=list)
    is_paused: bool = False
    """Record only; start nothing."""
    releases: list[Release] = field(default_factory=list)
    reminders: list[Reminder] = field(default_factory=list)
    room: int = 0
    """How many emissions of folded lists may be unfolded, so that not too much waits for the window."""
    depth: int = 0
    """How many executions this one is nested in."""
    limits: ExecutionLimits = field(default_factory=ExecutionLimits)
    """Of this execution; a nested one gets the same."""
    budget: int | None = None
    """Of this execution; a nested one gets what is left of it."""


class Step(IntEnum):
    """What a wave did with one node execution: the first element of a step."""

    ENDED = 0
    """`[ENDED, node, n, emissions]`"""
    FAILED = 1
    """`[FAILED, node, n, emissions, code, message]`"""
    TIMER_SET = 2
    """`[TIMER_SET, node, n, seconds, rounds]`"""
    RANG = 3
    """`[RANG, node, n, emissions]`: emitted, and goes on waiting for the next round."""
    REVIEW = 4
    """`[REVIEW, node, n, timeout_seconds | None, remind_seconds | None]`: waits for a person."""
    NESTED = 5
    """`[NESTED, node, n, execution_id, start]`: waits for a nested execution, which is to be started so."""
    UNFOLDED = 6
    """`[UNFOLDED, node, n, emissions]`: the emissions of a folded list, in its place."""
    KEPT = 7
    """`[KEPT, node, n]`: was released too early and goes on waiting."""


@dataclass(frozen=True)
class WaveResult:
    """What a wave did, in order, for the workflow's own scheduler to repeat."""

    steps: list[list[Any]]
    size: int
    """Bytes that this result takes in the workflow task, roughly."""
    seconds: float
    """How long the wave took."""

"""All that a workflow and the API may see of the activities: their names, what goes in and what comes out.

Only standard library and `app.graph` here, since the workflow imports it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from temporalio import activity

from app.graph.conversations import Turn
from app.graph.emissions import Emission
from app.graph.envelope import Envelope

WORKFLOW_NAME = "GraphExecution"
PAUSE_UPDATE = "pause"
RESUME_UPDATE = "resume"
RELEASE_SIGNAL = "release"
STEER_SIGNAL = "steer"
WIND_UP_SIGNAL = "wind_up"
SHARD_NAME = "GraphShard"
SETTLE_ACTIVITY = "settle_execution"
TRIAL_ACTIVITY = "execute_block"
LONGEST_TRIAL_SECONDS = 300.0
"""A block may take this long outside executions, unless it has less time anyway."""
FUND_SIGNAL = "fund"
ADMIT_SIGNAL = "admit"
UNPAID = frozenset({"INSUFFICIENT_CREDITS", "BUDGET_EXCEEDED", "SPENDING_LIMIT_REACHED"})
"""Codes of calls that were not made because nobody could pay for them."""
OVER_BUDGET = "BUDGET_EXCEEDED"
DEFAULT_MAX_NODE_EXECUTIONS = 100_000
PACKED = -1
"""Stands in place of a pin where all inputs of a call were too large together to travel."""


@dataclass(frozen=True)
class ExecutionLimits:
    """Bounds of one execution. They travel in the workflow's input, so that a replay sees the same ones."""

    window: int = 40
    """Remote activities in flight at once."""
    max_node_executions: int = DEFAULT_MAX_NODE_EXECUTIONS
    heartbeat_seconds: float = 30.0
    """Silence after which a remote call is given up for lost. Longer than the outage to be tolerated."""
    timeout_seconds: float | None = None
    """Longest time that the execution may take, pauses included; None for any."""
    events_per_run: int = 3_000
    """History events after which a workflow run hands over to the next."""
    shard_size: int = 0
    """Remote node executions that a shard is given in a very large fan-out; 0 for no shards."""
    max_depth: int = 8
    """How deep graphs may be nested; an execution that nobody nests has depth 0."""
    nested_at_once: int = 100
    """Nested executions that run at once. The others stay queued: a workflow with 2,000 open children gets stuck."""


@dataclass(frozen=True)
class Rerun:
    """Which execution is run again, and from where."""

    execution_id: str
    nodes: list[int] | None = None
    """Nodes of the new plan that are executed again, with all that follows from them. None: from what failed."""


@dataclass(frozen=True)
class StoredState:
    """A document that has been stored."""

    envelope: Envelope
    parts: int
    """How many parts it is fetched in."""


@dataclass(frozen=True)
class ExecutionStart:
    """The workflow's input. Ids and limits, never the graph."""

    user_id: str
    graph_id: str
    graph_version: int
    graph_name: str
    plan_hash: str
    inputs: Envelope
    """`{name: value}`, inline when small."""
    trigger: str
    created_at: str
    """ISO 8601, UTC."""
    parent_id: str | None = None
    budget: int | None = None
    root_id: str | None = None
    """Of the outermost execution that this one is nested in; None when it is not nested."""
    on_insufficient_credits: str = "pause"
    """`pause` or `fail`: what happens when a node execution cannot be paid."""
    fingerprint: str = ""
    """Hash of the start request."""
    limits: ExecutionLimits = field(default_factory=ExecutionLimits)
    parent_node: tuple[int, int] | None = None
    """(node, n) of the node execution in the parent that this nested execution is; None when it is not nested."""
    depth: int = 0
    """How many executions this one is nested in."""
    rerun: Rerun | None = None
    """Set when the execution reuses what another one has done."""
    credentials: dict[str, str] = field(default_factory=dict)
    """Ids of the credentials that were chosen, by the key of the credentials schema. Nested executions get the same."""
    trigger_id: str | None = None
    """Of the schedule or webhook that has started it."""
    preset_id: str | None = None
    """Of the preset that its inputs were taken from."""
    state: StoredState | None = None
    """Where to go on: the state that the run before this one of the same execution has left. None for the first run."""


@dataclass(frozen=True)
class ExecutionRef:
    """Which execution an activity works for. The owner is checked against the database, not believed."""

    execution_id: str
    user_id: str
    plan_hash: str


@dataclass(frozen=True)
class BeginRequest:
    """Asks to record that an execution has begun."""

    execution_id: str
    start: ExecutionStart


@dataclass(frozen=True)
class ErrorRecord:
    """Why an execution or a node execution failed."""

    code: str
    message: str
    node: int | None = None
    """The node's number in the plan."""


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
class Ring:
    """A timer that has gone off."""

    node: int
    n: int
    inputs: list[tuple[int, Envelope]]
    round: int
    """1 for the first time this node execution's timer goes off."""
    is_last: bool


@dataclass(frozen=True)
class Decision:
    """What somebody has answered to a review."""

    approved: bool
    by: str
    """Who: a user's id, or `link` for the holder of a signed link."""
    data: Envelope | None = None
    """Edited data, validated; None for the data as it was shown."""
    message: str = ""


@dataclass(frozen=True)
class Release:
    """Ends the wait of a held node execution: a review was answered or timed out, a nested execution has ended.

    The argument of the signal `release`, and what a wave is told of it.
    """

    node: int
    n: int
    inputs: list[tuple[int, Envelope]] = field(default_factory=list)
    """Filled in by the workflow."""
    decision: Decision | None = None
    is_timeout: bool = False


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


@dataclass(frozen=True)
class NodeCall:
    """Asks for one remote node execution. Constants and large values are loaded by the activity.

    As small as can be, since it stands in the history once a node execution. The execution's id is the workflow's;
    whose it is and what it runs is read from its record, not believed.
    """

    node: int
    n: int
    inputs: list[Any]
    """`[[pin, envelope], …]`, or `[[PACKED, reference]]` to a stored list of that form."""
    is_repeated: bool = False
    """Whether an earlier call of this node execution may have been made: what it has recorded counts."""
    turn: Turn | None = None
    """Set for a block that calls tools, when what it has called has ended."""
    called_by: tuple[int, int] | None = None
    """(node, n) of the node execution that calls it as a tool; None when links alone have begun it."""


@dataclass(frozen=True)
class NodeResult:
    """What a remote node execution gave to links, or what it calls before it goes on."""

    emissions: list[Emission]
    calls: list[list[Any]] = field(default_factory=list)
    """`[[node, [[pin, envelope], …]], …]`. Where there are any, it has not ended and has emitted nothing."""


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
class ShardStart:
    """The input of a shard: some ready remote node executions of one execution."""

    start: ExecutionStart
    nodes: dict[str, dict[str, Any]]
    """By number: what a shard must know of the nodes to call them."""
    calls: list[NodeCall]


@dataclass(frozen=True)
class ShardResult:
    """What a shard has done."""

    outcomes: list[list[Any]]
    """`[[node, n, emissions, code | None, message, is_recorded, calls], …]`; empty when they are stored."""
    undone: list[tuple[int, int]]
    """(node, n) of those that were not started."""
    stored: StoredState | None = None
    """The outcomes, when they are too large to travel."""


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


@dataclass(frozen=True)
class SettleRequest:
    """Asks to bring the record of an execution in line with Temporal, which has closed it."""

    execution_id: str
    user_id: str


@dataclass(frozen=True)
class BlockTrial:
    """Asks for one call of a block outside any execution."""

    block_id: str
    inputs: dict[str, Any]
    user_id: str


@dataclass(frozen=True)
class BlockTrialResult:
    """What the block emitted."""

    outputs: list[tuple[str, Any]]
    """(pin, value) in the order they were emitted."""
    cost: int


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

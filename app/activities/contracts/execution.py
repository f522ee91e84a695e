"""An execution, as its workflow is started with it and as activities are told of it."""

from dataclasses import dataclass, field

from app.graph.envelope import Envelope

WORKFLOW_NAME = "GraphExecution"
DEFAULT_MAX_NODE_EXECUTIONS = 100_000


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
    patience_seconds: float = 10.0
    """How long a run that is to hand over calls nothing new, so that the calls under way can come back."""
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
class ErrorRecord:
    """Why an execution or a node execution failed."""

    code: str
    message: str
    node: int | None = None
    """The node's number in the plan."""

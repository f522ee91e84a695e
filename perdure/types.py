"""What the API answers with, as far as it can be relied on; an answer may hold more."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

Status = Literal["QUEUED", "RUNNING", "PAUSED", "WAITING", "COMPLETED", "FAILED", "CANCELLED", "SKIPPED"]

ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
"""An execution in one of these stays in it."""


class Node(TypedDict):
    """A use of a block."""

    id: str
    block_id: str
    input_default: dict[str, Any]
    metadata: dict[str, Any]


class Link(TypedDict):
    """A connection from an output pin to an input pin."""

    id: str
    source_id: str
    sink_id: str
    source_name: str
    sink_name: str
    is_static: bool


class Graph(TypedDict):
    """One version of a graph."""

    id: str
    name: str
    description: str
    user_id: str
    version: int
    is_active: bool
    created_at: str
    updated_at: str
    nodes: list[Node]
    links: list[Link]
    sub_graphs: list[dict[str, Any]]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    credentials_input_schema: dict[str, Any]


class Validation(TypedDict):
    """What is wrong with a graph."""

    valid: bool
    node_errors: dict[str, dict[str, str]]


class Imported(TypedDict):
    """What has become of an agent file."""

    graph: Graph
    report: dict[str, Any]


class Stats(TypedDict):
    """Counts of an execution so far."""

    node_executions: int
    completed: int
    failed: int
    retries: int
    duration: float
    """Seconds."""


class Temporal(TypedDict):
    """Where an execution is found in Temporal."""

    workflow_id: str
    run_id: str | None
    web_url: str | None


class Failure(TypedDict):
    """What an execution failed by."""

    node_id: str | None
    code: str
    message: str


class Execution(TypedDict):
    """One run of a graph version."""

    id: str
    graph_id: str
    graph_version: int
    user_id: str
    status: Status
    trigger: str
    parent_id: str | None
    inputs: Any
    outputs: dict[str, list[Any]]
    error: Failure | None
    cost: int
    budget: int | None
    paused_for: str | None
    event_seq: int
    created_at: str
    started_at: str | None
    ended_at: str | None
    stats: Stats
    temporal: Temporal


class Results(TypedDict):
    """How an execution ended."""

    status: Status
    outputs: dict[str, list[Any]]
    error: Failure | None


class NodeExecution(TypedDict):
    """One firing of a node."""

    id: str
    graph_execution_id: str
    node_id: str
    block_id: str
    status: Status
    attempt: int
    inputs: dict[str, Any]
    outputs: dict[str, list[Any]]
    error: dict[str, Any] | None
    cost: int
    started_at: str | None
    ended_at: str | None
    execution_time: float | None


class Event(TypedDict):
    """One thing that happened in an execution."""

    seq: int | None
    """1, 2, 3, … without a hole; None for a piece of what a model is writing."""
    type: str
    data: dict[str, Any]
    at: str | None


class Block(TypedDict):
    """A kind of work."""

    id: str
    slug: str
    name: str
    description: str
    categories: list[str]
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    costs: list[dict[str, Any]]
    is_enabled: bool
    disabled_reason: str | None


class Trial(TypedDict):
    """What a block emitted."""

    outputs: dict[str, list[Any]]
    cost: int


class Balance(TypedDict):
    """How a user stands."""

    credits: int
    reserved: int
    spent_today: int
    spent: int
    daily_budget: int | None
    daily_limit: int | None
    total_budget: int | None
    total_limit: int | None
    low_balance: bool


class HistoryItem(TypedDict):
    """What a balance has changed for."""

    id: int
    kind: str
    at: str
    amount: int
    execution_id: str | None
    graph_id: str | None
    graph_name: str | None
    status: str | None
    reason: str | None


class ApiKey(TypedDict):
    """An API key without its secret."""

    id: str
    prefix: str
    name: str
    scopes: list[str]
    addresses: list[str]
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    suspended: bool


class NewApiKey(ApiKey):
    """An API key that was just made."""

    key: str | None

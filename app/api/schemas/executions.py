"""Executions on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, Strict

from app.api.schemas.graphs import JsonObject
from app.graph.status import Status


class StartBody(BaseModel):
    """What an execution is started with, whatever says which."""

    model_config = ConfigDict(strict=True)

    inputs: JsonObject = Field(default_factory=dict)
    """Run inputs by the names of the input nodes."""
    credentials_inputs: JsonObject = Field(default_factory=dict)
    """Which credentials to use, by the keys of the graph's `credentials_input_schema`: `{id, provider, type}`, or the
    id alone."""
    budget: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """The most credits that it may cost, with all that is nested in it. When they are used up, it fails."""
    on_insufficient_credits: Literal["pause", "fail"] = "pause"
    """What happens when a node execution cannot be paid: it waits for a top-up, or fails."""
    timeout_seconds: Annotated[float, Field(ge=1, le=3650 * 86_400)] | None = None
    """The longest that it may take, pauses and waits included; the server says what is the most, and the default."""
    max_node_executions: Annotated[int, Field(ge=1)] | None = None
    """After how many node executions it fails; 100,000 when left out."""
    priority: Annotated[int, Field(ge=1, le=5)] | None = None
    """1 (first) to 5 (last) among what waits for a worker; 3 when left out."""


class ExecuteBody(StartBody):
    """What an execution is started with."""

    preset_id: Annotated[UUID, Strict(False)] | None = None
    """What inputs and credentials are taken from that are not given here."""


class StatsView(BaseModel):
    """Counts of an execution so far."""

    node_executions: int
    completed: int
    failed: int
    retries: int
    input_tokens: int
    """What language models have read."""
    output_tokens: int
    """What language models have written."""
    duration: float
    """Seconds since it began to run, or that it took."""
    starved: int
    """Node executions left without all their inputs when it ended."""
    skipped: int
    """Nodes that were never needed."""
    silent_outputs: list[str]
    """Output nodes that no value reached."""


class TemporalView(BaseModel):
    """Where the execution is found in Temporal."""

    workflow_id: str
    run_id: str | None
    web_url: str | None
    """Its page in Temporal's Web UI."""


class ExecutionView(BaseModel):
    """One run of a graph version."""

    id: UUID
    graph_id: UUID
    graph_version: int
    user_id: str
    status: Status
    trigger: str
    """What started it: `api`, `schedule`, `webhook`, `rerun` or `subgraph`."""
    trigger_id: UUID | None
    """The schedule or webhook that has started it."""
    preset_id: UUID | None
    parent_id: UUID | None
    inputs: Any
    outputs: Mapping[str, Sequence[Any]]
    """Run outputs by name, each with its values in the order they came."""
    error: dict[str, Any] | None
    """`{node_id, code, message}` of the first failure that the graph did not handle."""
    cost: int
    budget: int | None
    on_insufficient_credits: Literal["pause", "fail"]
    paused_for: str | None
    """Why it is `PAUSED` without anybody having asked for it: the code of what a node execution could not be paid for,
    `INSUFFICIENT_CREDITS` or `SPENDING_LIMIT_REACHED`."""
    event_seq: int
    """Number of its last event: what happens next comes after it."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    stats: StatsView
    temporal: TemporalView


class ResultsView(BaseModel):
    """How an execution ended."""

    status: Status
    outputs: Mapping[str, Sequence[Any]]
    error: dict[str, Any] | None


class NodeExecutionView(BaseModel):
    """One firing of a node."""

    id: UUID
    graph_execution_id: UUID
    node_id: str
    block_id: str
    status: Status
    attempt: int
    """Which try this is, or was the last."""
    inputs: dict[str, Any]
    outputs: dict[str, list[Any]]
    error: dict[str, Any] | None
    """`{code, message}`; of a retrying one its last failure."""
    cost: int
    usage: dict[str, Any] | None = None
    """`{model, input_tokens, output_tokens, calls}`: what language models used, over all attempts; null for none."""
    started_at: datetime | None
    ended_at: datetime | None
    execution_time: float | None
    """Seconds."""
    reused: bool
    """Whether a rerun has taken it over from its original instead of executing the node."""
    called_by: UUID | None = None
    """The node execution that has called it as a tool; null when links alone have begun it."""
    nested_execution_id: UUID | None = None
    """Of a node that executes another graph: that execution."""


class EventView(BaseModel):
    """One thing that happened in an execution."""

    seq: int
    """1, 2, 3, … without a hole."""
    type: str
    data: dict[str, Any]
    at: datetime

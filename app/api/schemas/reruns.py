"""Reruns on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.schemas.graphs import JsonObject
from app.api.schemas.stopping import NamedIds
from app.graph.status import TERMINAL, Status
from app.models.page import MAX_NUMBER


class RerunBody(BaseModel):
    """How an execution is to be run again."""

    model_config = ConfigDict(strict=True, extra="forbid")

    from_nodes: (
        Annotated[list[Annotated[str, Field(max_length=500)]], Field(min_length=1, max_length=10_000)] | None
    ) = None
    """Nodes to execute again, with all that follows from them; if none is named, what failed or was left undone."""
    inputs: JsonObject | None = None
    """Run inputs that are to be others than before, by name."""
    credentials_inputs: JsonObject | None = None
    """Credentials that are to be others than before, as when an execution is started."""
    graph_version: Annotated[int, Field(ge=1, le=MAX_NUMBER)] | None = None
    """Another version of the graph. What it changes is executed again."""
    dry_run: bool = False
    """Only say what would be done."""
    confirm: bool = False
    """Whether nodes may be executed again that have changed something in the world."""
    budget: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """The most credits it may cost; as before when left out."""
    timeout_seconds: Annotated[float, Field(ge=1, le=3650 * 86_400)] | None = None
    """The longest that it may take, pauses and waits included."""
    max_node_executions: Annotated[int, Field(ge=1)] | None = None
    """After how many node executions it fails, those taken over included; 100,000 when left out."""
    priority: Annotated[int, Field(ge=1, le=5)] | None = None
    """1 (first) to 5 (last) among what waits for a worker; 3 when left out."""


class NodeCountView(BaseModel):
    """A node, and how many of its node executions are meant."""

    node_id: str
    count: int


class RerunPreviewView(BaseModel):
    """What a rerun would do."""

    reused: Sequence[NodeCountView]
    """Taken over."""
    to_run: Sequence[NodeCountView]
    """Executed, as often as before or once: what really happens depends on what the nodes give."""
    unkeyed: Sequence[NodeCountView]
    """Of these, what has been done before and changes something in the world: needs `confirm`."""
    estimated_credits: int
    missing_credentials: Mapping[str, Mapping[str, str]]
    """By node id and field: credentials that are missing or do not fit; then the rerun would be refused."""


class BulkRerunBody(BaseModel):
    """Which ended executions to run again from what failed: those that every given field names."""

    model_config = ConfigDict(extra="forbid")

    ids: NamedIds | None = None
    graph_id: UUID | None = None
    status: Status | None = None
    """`FAILED` when neither this nor `ids` is given."""
    confirm: bool = False
    """Whether nodes may be executed again that have changed something in the world."""
    dry_run: bool = False
    """Only say what would be done."""
    cursor: Annotated[str, Field(max_length=500)] | None = None
    """`next_cursor` of the answer before."""

    @model_validator(mode="after")
    def _names_something(self) -> BulkRerunBody:
        if self.ids is None and self.graph_id is None and self.status is None:
            raise ValueError("name what to run again: ids, graph_id or status")
        if self.status is not None and self.status not in TERMINAL:
            raise ValueError("only what has ended can be run again")
        return self


class RefusedView(BaseModel):
    """An execution that was not run again."""

    id: str
    code: str
    message: str


class BulkRerunView(BaseModel):
    """What became of the executions that were to be run again."""

    matched: int
    """Executions that were named, at most 1,000 in one call."""
    started: int
    """Run again; of a dry run those that would be. An earlier call with the same key may have done it."""
    refused: Sequence[RefusedView]
    next_cursor: str | None
    """To go on with when there are more."""

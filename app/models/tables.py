"""The tables. Columns and keys only; what is read and written stands in the module of each noun."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlmodel import Field, SQLModel


def _moment(*, is_nullable: bool = False, is_now: bool = False) -> Any:
    return Column(
        DateTime(timezone=True), nullable=is_nullable, server_default=func.now() if is_now else None
    )


def _count(kind: type[Integer] = Integer) -> Any:
    return Column(kind, nullable=False, server_default="0")


def _word() -> Any:
    return Column(Text, nullable=False, server_default="")


class User(SQLModel, table=True):
    """Somebody who has shown a valid token at least once."""

    __tablename__ = "users"

    id: str = Field(primary_key=True)
    email: str
    name: str = ""
    role: str = "user"
    timezone: str = "UTC"
    credits: int = 0
    created_at: datetime = Field(sa_column=_moment(is_now=True))
    last_login: datetime | None = Field(default=None, sa_column=_moment(is_nullable=True))


class Graph(SQLModel, table=True):
    """What keeps the versions of one graph together."""

    __tablename__ = "graphs"
    __table_args__ = (Index("graphs_of_user", "user_id", "created_at", "id"),)

    id: uuid.UUID = Field(primary_key=True)
    user_id: str = Field(foreign_key="users.id")
    active_version: int
    latest_version: int
    created_at: datetime = Field(sa_column=_moment(is_now=True))
    updated_at: datetime = Field(sa_column=_moment(is_now=True))
    deleted_at: datetime | None = Field(default=None, sa_column=_moment(is_nullable=True))


class GraphVersion(SQLModel, table=True):
    """One immutable snapshot of a graph."""

    __tablename__ = "graph_versions"

    graph_id: uuid.UUID = Field(primary_key=True, foreign_key="graphs.id")
    version: int = Field(primary_key=True)
    name: str
    description: str = ""
    definition: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """`{nodes, links}` as `app.graph.definition` writes it."""
    plan_hash: str = Field(foreign_key="plans.hash")
    input_schema: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    output_schema: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    nests: list[Any] = Field(
        default_factory=list, sa_column=Column(JSON, nullable=False, server_default="[]")
    )
    """`[[graph id, version | null], …]`: what its nodes execute; null for whichever version is active."""
    extras: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSON, nullable=False, server_default="{}")
    )
    """What an agent file says of a graph besides: `instructions`, `recommended_schedule_cron`, `forked_from_…`."""
    credential_needs: list[Any] = Field(
        default_factory=list, sa_column=Column(JSON, nullable=False, server_default="[]")
    )
    """What its own nodes need to be let in somewhere (`app.graph.credential_needs`)."""
    created_at: datetime = Field(sa_column=_moment(is_now=True))


class StoredPlan(SQLModel, table=True):
    """A compiled graph, kept once per content."""

    __tablename__ = "plans"

    hash: str = Field(primary_key=True)
    plan: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """The compact arrays that a workflow walks (`app.graph.plan`)."""
    configuration: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False))
    """By node number: `{id, block_id, input_default, metadata}`, for the activities."""


class Execution(SQLModel, table=True):
    """One run of a graph version."""

    __tablename__ = "executions"
    __table_args__ = (
        Index("executions_of_user", "user_id", "created_at", "id"),
        Index("executions_of_graph", "graph_id", "created_at"),
        Index("executions_open", "id", postgresql_where=text("ended_at IS NULL")),
        Index("executions_nested", "parent_id", postgresql_where=text("parent_node IS NOT NULL")),
    )

    id: uuid.UUID = Field(primary_key=True)
    """Also the workflow id."""
    user_id: str
    graph_id: uuid.UUID
    graph_version: int
    plan_hash: str
    status: str
    trigger: str = "api"
    parent_id: uuid.UUID | None = None
    parent_node: int | None = None
    """Of a nested execution: the number of the parent's node that it is one firing of."""
    parent_n: int | None = None
    """Of a nested execution: which firing of that node."""
    run_id: str = Field(default="", sa_column=_word())
    """Temporal's id of the first run; empty until it is known."""
    inputs: list[Any] = Field(sa_column=Column(JSON, nullable=False))
    """An envelope around `{name: value}`."""
    credentials: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSON, nullable=False, server_default="{}")
    )
    """`{key: id}`: the credentials that were chosen, by the key of the credentials schema."""
    outputs: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSON, nullable=False, server_default="{}")
    )
    """`{name: [envelope, …]}`."""
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """`{node_id, code, message}` of the first failure that the graph did not handle."""
    report: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """`{starved, skipped, silent_outputs}`: what was left over at the end."""
    fingerprint: str = Field(default="", sa_column=_word())
    """Hash of the start request, to tell a repeat from a clash."""
    cost: int = Field(default=0, sa_column=_count())
    budget: int | None = None
    node_executions: int = Field(default=0, sa_column=_count())
    """How many there were; counted when the execution ends, like the five below."""
    completed: int = Field(default=0, sa_column=_count())
    failed: int = Field(default=0, sa_column=_count())
    retries: int = Field(default=0, sa_column=_count())
    input_tokens: int = Field(default=0, sa_column=_count(BigInteger))
    """What language models have read."""
    output_tokens: int = Field(default=0, sa_column=_count(BigInteger))
    event_seq: int = Field(default=0, sa_column=_count(BigInteger))
    """Number of the last event; counted up under this row's lock."""
    created_at: datetime = Field(sa_column=_moment())
    started_at: datetime | None = Field(default=None, sa_column=_moment(is_nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=_moment(is_nullable=True))
    deleted_at: datetime | None = Field(default=None, sa_column=_moment(is_nullable=True))
    """A deleted execution leaves its row, emptied: the id stays taken in Temporal."""


class NodeExecution(SQLModel, table=True):
    """One firing of a node."""

    __tablename__ = "node_executions"
    __table_args__ = (UniqueConstraint("execution_id", "node", "n", name="node_executions_once"),)

    id: uuid.UUID = Field(primary_key=True)
    execution_id: uuid.UUID
    node: int
    """The node's number in the plan."""
    node_id: str = Field(sa_column=Column(Text, nullable=False))
    block_id: str
    n: int
    """1 for the first firing of this node."""
    status: str
    attempt: int = 1
    inputs: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """`{pin: envelope}`."""
    outputs: list[Any] = Field(sa_column=Column(JSON, nullable=False))
    """`[[pin, envelope], …]` in the order they were emitted."""
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    cost: int = 0
    usage: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """`{model, input_tokens, output_tokens, calls}`: what language models used, over all attempts."""
    started_at: datetime | None = Field(default=None, sa_column=_moment(is_nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=_moment(is_nullable=True))
    seq: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    """Number of the event that last changed it: the order in which node executions ended. What a rerun has taken over
    comes before all of that: it has negative numbers, in the order of the original."""
    is_reused: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false"))
    )
    """Whether a rerun has taken it over instead of executing the node."""
    called_by: uuid.UUID | None = None
    """Id of the node execution that has called it as a tool; null when links alone have begun it."""


class ExecutionEvent(SQLModel, table=True):
    """One thing that happened in an execution."""

    __tablename__ = "execution_events"
    __table_args__ = (UniqueConstraint("execution_id", "key", name="execution_events_once"),)

    execution_id: uuid.UUID = Field(primary_key=True)
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True))
    """1, 2, 3, … without a hole."""
    key: str
    """What makes a repeat of the same event recognisable."""
    type: str
    data: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    at: datetime = Field(sa_column=_moment(is_now=True))


class StoredValue(SQLModel, table=True):
    """A value too large to travel through a workflow, kept once per user and content."""

    __tablename__ = "stored_values"
    __table_args__ = (
        Index("stored_values_idle", "idle_since", postgresql_where=text("idle_since IS NOT NULL")),
        CheckConstraint("(body IS NULL) <> (object IS NULL)", name="stored_values_have_one_body"),
    )

    user_id: str = Field(primary_key=True)
    sha256: str = Field(primary_key=True)
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Bytes of the JSON text."""
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    """The JSON text, compressed with zlib, unless it is in an object."""
    object: str | None = Field(default=None, sa_column=Column(Text))
    """Name of the object that is the body."""
    created_at: datetime = Field(sa_column=_moment(is_now=True))
    idle_since: datetime | None = Field(default=None, sa_column=_moment(is_nullable=True))
    """Since when nothing may use it. What has a moment here is looked at when garbage is collected."""


class ValueUse(SQLModel, table=True):
    """That an execution's record refers to a stored value: as long as it does, the value stays."""

    __tablename__ = "value_uses"
    __table_args__ = (
        ForeignKeyConstraint(["user_id", "sha256"], ["stored_values.user_id", "stored_values.sha256"]),
        Index("value_uses_of_value", "user_id", "sha256"),
    )

    execution_id: uuid.UUID = Field(primary_key=True)
    sha256: str = Field(primary_key=True)
    user_id: str


class IdempotencyKey(SQLModel, table=True):
    """A key under which a changing call was made, and what it was answered."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_by_age", "claimed_at"),)

    user_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    """Hash of the request, to tell a repeat from a clash."""
    claim: uuid.UUID
    """Of the call that carries it out."""
    claimed_at: datetime = Field(sa_column=_moment(is_now=True))
    is_done: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false"))
    )
    """Whether it has had its effect."""
    status: int | None = None
    """Of the answer, as HTTP has it; null while there is none."""
    media_type: str | None = None
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    """The answer's body, compressed with zlib."""


class LooseObject(SQLModel, table=True):
    """An object that no stored value has: not yet, or no more."""

    __tablename__ = "loose_objects"
    __table_args__ = (Index("loose_objects_since", "since"),)

    name: str = Field(primary_key=True)
    since: datetime = Field(sa_column=_moment(is_now=True))
    is_doomed: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false"))
    )
    """Whether it is going to be deleted; from then on it becomes nobody's body."""


class Review(SQLModel, table=True):
    """A question that a person is to answer: what a node execution waits for."""

    __tablename__ = "reviews"
    __table_args__ = (
        Index("reviews_of_user", "user_id", "requested_at", "id"),
        Index("reviews_of_execution", "execution_id"),
        Index("reviews_open", "user_id", "requested_at", postgresql_where=text("status = 'open'")),
    )

    id: uuid.UUID = Field(primary_key=True)
    """The node execution's."""
    execution_id: uuid.UUID
    user_id: str
    node: int
    node_id: str = Field(sa_column=Column(Text, nullable=False))
    n: int
    status: str
    """`open`, `answered`, `timed_out` or `withdrawn`. What is no longer open never changes again."""
    asked: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """`{name, instructions, editable, schema, data}`, the data in an envelope."""
    answer: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """`{approved, by, message, data}`, the data in an envelope, or null when it stayed as it was."""
    requested_at: datetime = Field(sa_column=_moment(is_now=True))
    due_at: datetime | None = Field(default=None, sa_column=_moment(is_nullable=True))
    """When nobody needs to answer any more."""
    closed_at: datetime | None = Field(default=None, sa_column=_moment(is_nullable=True))

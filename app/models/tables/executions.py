"""The tables of executions: the record of each, of its node executions and of its events."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from app.models.tables.columns import count, flag, json_object, moment, transaction_number, word


class Execution(SQLModel, table=True):
    """One run of a graph version."""

    __tablename__ = "executions"
    __table_args__ = (
        Index("executions_of_user", "user_id", "created_at", "id"),
        Index("executions_of_user_as_written", "user_id", "transaction", "id"),
        Index("executions_of_graph", "graph_id", "created_at"),
        Index("executions_by_age", "created_at", "id"),
        Index(
            "executions_of_trigger",
            "trigger_id",
            "created_at",
            postgresql_where=text("trigger_id IS NOT NULL"),
        ),
        Index("executions_open", "id", postgresql_where=text("ended_at IS NULL")),
        Index("executions_nested", "parent_id", postgresql_where=text("parent_node IS NOT NULL")),
        Index(
            "executions_running",
            "user_id",
            postgresql_where=text("status = 'RUNNING' AND parent_node IS NULL"),
        ),
        Index(
            "executions_queue",
            "user_id",
            "created_at",
            "id",
            postgresql_where=text("awaits_room AND ended_at IS NULL"),
        ),
    )

    id: uuid.UUID = Field(primary_key=True)
    """Also the workflow id."""
    user_id: str
    graph_id: uuid.UUID
    graph_version: int
    plan_hash: str
    status: str
    trigger: str = "api"
    trigger_id: uuid.UUID | None = None
    """Of the schedule or webhook that has started it."""
    preset_id: uuid.UUID | None = None
    """Of the preset that its inputs were taken from."""
    parent_id: uuid.UUID | None = None
    parent_node: int | None = None
    """Of a nested execution: the number of the parent's node that it is one firing of."""
    parent_n: int | None = None
    """Of a nested execution: which firing of that node."""
    run_id: str = Field(default="", sa_column=word())
    """Temporal's id of the first run; empty until it is known."""
    inputs: list[Any] = Field(sa_column=Column(JSON, nullable=False))
    """An envelope around `{name: value}`."""
    credentials: dict[str, Any] = Field(default_factory=dict, sa_column=json_object())
    """`{key: id}`: the credentials that were chosen, by the key of the credentials schema."""
    outputs: dict[str, Any] = Field(default_factory=dict, sa_column=json_object())
    """`{name: [envelope, …]}`."""
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """`{node_id, code, message}` of the first failure that the graph did not handle."""
    report: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """`{starved, skipped, silent_outputs}`: what was left over at the end."""
    fingerprint: str = Field(default="", sa_column=word())
    """Hash of the start request, to tell a repeat from a clash."""
    cost: int = Field(default=0, sa_column=count(BigInteger))
    budget: int | None = None
    """The most credits that it may cost, with all that is nested in it."""
    root_id: uuid.UUID | None = None
    """Of a nested execution: the outermost one, whose budget counts."""
    reserved: int = Field(default=0, sa_column=count(BigInteger))
    """Credits that are reserved for its own node executions now."""
    committed: int = Field(default=0, sa_column=count(BigInteger))
    """Credits charged and reserved, with those of all that is nested in it; counted in the outermost one."""
    on_insufficient_credits: str = Field(
        default="pause", sa_column=Column(Text, nullable=False, server_default="pause")
    )
    """`pause` or `fail`: what happens when a node execution cannot be paid."""
    paused_for: str = Field(default="", sa_column=word())
    """The code of what it was paused for by the engine; empty when a person has paused it."""
    required: int = Field(default=0, sa_column=count(BigInteger))
    """Credits that the last call needed which could not be paid."""
    awaits_room: bool = Field(default=False, sa_column=flag())
    """Whether it has asked to begin and was sent to the queue: so many of its user's were running."""
    node_executions: int = Field(default=0, sa_column=count())
    """How many there were; counted when the execution ends, like the five below."""
    completed: int = Field(default=0, sa_column=count())
    failed: int = Field(default=0, sa_column=count())
    retries: int = Field(default=0, sa_column=count())
    input_tokens: int = Field(default=0, sa_column=count(BigInteger))
    """What language models have read."""
    output_tokens: int = Field(default=0, sa_column=count(BigInteger))
    event_seq: int = Field(default=0, sa_column=count(BigInteger))
    """Number of the last event; counted up under this row's lock."""
    created_at: datetime = Field(sa_column=moment())
    started_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    deleted_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    """A deleted execution leaves its row, emptied: the id stays taken in Temporal."""
    transaction: int = Field(default=0, sa_column=transaction_number())
    """The database's number of the transaction that wrote the row: to streams of many executions this is the event of
    its start."""


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
    started_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    seq: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    """Number of the event that last changed it: the order in which node executions ended. What a rerun has taken over
    comes before all of that: it has negative numbers, in the order of the original."""
    is_reused: bool = Field(default=False, sa_column=flag())
    """Whether a rerun has taken it over instead of executing the node."""
    called_by: uuid.UUID | None = None
    """Id of the node execution that has called it as a tool; null when links alone have begun it."""


class ExecutionEvent(SQLModel, table=True):
    """One thing that happened in an execution."""

    __tablename__ = "execution_events"
    __table_args__ = (
        UniqueConstraint("execution_id", "key", name="execution_events_once"),
        Index(
            "execution_events_of_executions",
            "transaction",
            "execution_id",
            "seq",
            # Node executions have most of the events; who follows many executions is told of these as wholes.
            postgresql_where=text("type NOT LIKE 'node\\_%'"),
        ),
    )

    execution_id: uuid.UUID = Field(primary_key=True)
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True))
    """1, 2, 3, … without a hole."""
    key: str
    """What makes a repeat of the same event recognisable."""
    type: str
    data: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    at: datetime = Field(sa_column=moment(is_now=True))
    transaction: int = Field(default=0, sa_column=transaction_number())
    """The database's number of the transaction that wrote it: what streams of many executions go by. Everything below
    the oldest number still under way has been written, and nothing will come in between."""

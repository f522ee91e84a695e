"""Executions as they are read. What a live one does is written elsewhere, by activities.

A deleted execution is not found, but its id stays taken.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Uuid, bindparam, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import NotFound
from app.graph.envelope import Envelope
from app.graph.status import Status
from app.models import files, values
from app.models.announcements import CHANNEL, announcement
from app.models.page import Page, dated_key, make_page, no_size, read_cursor
from app.models.tables.executions import Execution, ExecutionEvent, NodeExecution
from app.models.tables.node_work import ConversationTurn, NodeStep
from app.models.tables.reviews import Review


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Which executions a list is to hold."""

    graph_id: uuid.UUID | None = None
    status: Status | None = None
    trigger: str | None = None
    trigger_id: uuid.UUID | None = None
    """Of a schedule or webhook."""
    parent_id: uuid.UUID | None = None
    """Those that come from this one. Nested ones are left out unless this or a trigger is asked for."""


@dataclass(frozen=True, slots=True)
class OpenFilter:
    """Which open executions are meant; what is None leaves them all in."""

    ids: Sequence[uuid.UUID] | None = None
    graph_id: uuid.UUID | None = None
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class NodeCounts:
    """How many node executions an execution has had so far."""

    node_executions: int = 0
    completed: int = 0
    failed: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


async def insert_queued(session: AsyncSession, execution: Execution) -> None:
    """Write a started execution down, unless its workflow was quicker; then only add what that cannot know."""
    await values.add_uses(session, execution.id, execution.user_id, [execution.inputs])
    given = insert(Execution).values(
        {
            "id": execution.id,
            "user_id": execution.user_id,
            "graph_id": execution.graph_id,
            "graph_version": execution.graph_version,
            "plan_hash": execution.plan_hash,
            "status": Status.QUEUED,
            "trigger": execution.trigger,
            "trigger_id": execution.trigger_id,
            "preset_id": execution.preset_id,
            "parent_id": execution.parent_id,
            "parent_node": execution.parent_node,
            "parent_n": execution.parent_n,
            "run_id": execution.run_id,
            "inputs": execution.inputs,
            "credentials": execution.credentials,
            "fingerprint": execution.fingerprint,
            "budget": execution.budget,
            "root_id": execution.root_id,
            "on_insufficient_credits": execution.on_insufficient_credits,
            "created_at": execution.created_at,
        }
    )
    await session.execute(
        given.on_conflict_do_update(
            index_elements=[col(Execution.id)],
            set_={"run_id": given.excluded.run_id},
            where=col(Execution.run_id) == "",
        )
    )


async def announce_queued(session: AsyncSession, execution: Execution) -> None:
    """Announce that an execution has been written down, when that has been committed."""
    text = announcement(str(execution.id), Status.QUEUED, execution.user_id)
    await session.execute(select(func.pg_notify(CHANNEL, text)))


async def get_execution_of_any_age(
    session: AsyncSession, owner: str, execution_id: uuid.UUID
) -> Execution | None:
    """Return an owner's execution, deleted or not, or None."""
    query = select(Execution).where(col(Execution.id) == execution_id, col(Execution.user_id) == owner)
    return (await session.execute(query)).scalar_one_or_none()


async def require_execution(session: AsyncSession, owner: str, execution_id: uuid.UUID) -> Execution:
    """Return an owner's execution.

    Raises:
        NotFound: The owner has none of this id.
    """
    execution = await get_execution_of_any_age(session, owner, execution_id)
    if execution is None or execution.deleted_at is not None:
        raise NotFound
    return execution


async def list_executions(
    session: AsyncSession,
    owner: str,
    wanted: ExecutionFilter,
    *,
    cursor: str | None = None,
    limit: int,
    opens_values: bool = True,
) -> Page[Execution]:
    """Return an owner's executions, newest first; fewer when large values of them are to be opened."""
    conditions: list[ColumnElement[bool]] = [
        col(Execution.user_id) == owner,
        col(Execution.deleted_at).is_(None),
    ]
    if wanted.graph_id is not None:
        conditions.append(col(Execution.graph_id) == wanted.graph_id)
    if wanted.status is not None:
        conditions.append(col(Execution.status) == wanted.status)
    if wanted.trigger is not None:
        conditions.append(col(Execution.trigger) == wanted.trigger)
    if wanted.trigger_id is not None:
        conditions.append(col(Execution.trigger_id) == wanted.trigger_id)
    if wanted.parent_id is not None:
        conditions.append(col(Execution.parent_id) == wanted.parent_id)
    if wanted.trigger is None and wanted.parent_id is None:
        conditions.append(col(Execution.parent_node).is_(None))
    if cursor:
        key = tuple_(col(Execution.created_at), col(Execution.id))
        conditions.append(key < tuple_(*read_cursor(cursor, dated_key)))
    query = (
        select(Execution)
        .where(*conditions)
        .order_by(col(Execution.created_at).desc(), col(Execution.id).desc())
        .limit(limit + 1)
    )
    rows = (await session.execute(query)).scalars().all()
    size = _size if opens_values else no_size
    return make_page(rows, limit, lambda row: (row.created_at.isoformat(), row.id), size=size)


async def list_open_ids(
    session: AsyncSession, owner: str, wanted: OpenFilter, *, limit: int
) -> list[uuid.UUID]:
    """Return the ids of an owner's open executions, oldest first."""
    query = select(col(Execution.id)).where(*_open(owner, wanted)).order_by(col(Execution.id)).limit(limit)
    return list((await session.execute(query)).scalars())


async def count_open(session: AsyncSession, owner: str, wanted: OpenFilter) -> int:
    """Return how many open executions of an owner there are."""
    query = select(func.count()).select_from(Execution).where(*_open(owner, wanted))
    return int((await session.execute(query)).scalar_one())


async def count_known(
    session: AsyncSession, owner: str, execution_ids: Sequence[uuid.UUID]
) -> tuple[int, int]:
    """Return how many of the ids are executions of an owner, and how many of these have ended."""
    query = select(func.count(), func.count(col(Execution.ended_at))).where(
        col(Execution.user_id) == owner,
        col(Execution.deleted_at).is_(None),
        col(Execution.id) == func.any(_id_array(execution_ids)),
    )
    known, ended = (await session.execute(query)).one()
    return known, ended


def _open(owner: str, wanted: OpenFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        col(Execution.user_id) == owner,
        col(Execution.ended_at).is_(None),
    ]
    if wanted.ids is not None:
        conditions.append(col(Execution.id) == func.any(_id_array(wanted.ids)))
    if wanted.graph_id is not None:
        conditions.append(col(Execution.graph_id) == wanted.graph_id)
    if wanted.status is not None:
        conditions.append(col(Execution.status) == wanted.status)
    return conditions


def _id_array(execution_ids: Sequence[uuid.UUID]) -> ColumnElement[Any]:
    """Return ids as one parameter: as a list they would be one each, of which a statement takes 32,767."""
    return bindparam(None, list(execution_ids), type_=ARRAY(Uuid))


async def count_nodes(
    session: AsyncSession, owner: str, execution_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, NodeCounts]:
    """Return the counts of those of the executions that have had node executions."""
    status = col(NodeExecution.status)
    query = (
        select(
            col(NodeExecution.execution_id),
            func.count(),
            func.count().filter(status == Status.COMPLETED),
            func.count().filter(status == Status.FAILED),
            func.coalesce(
                func.sum(col(NodeExecution.attempt) - 1).filter(col(NodeExecution.is_reused).is_(False)), 0
            ),
            _total("input_tokens"),
            _total("output_tokens"),
        )
        .join(Execution, col(Execution.id) == col(NodeExecution.execution_id))
        .where(col(NodeExecution.execution_id).in_(execution_ids), col(Execution.user_id) == owner)
        .group_by(col(NodeExecution.execution_id))
    )
    return {row[0]: NodeCounts(*row[1:]) for row in await session.execute(query)}


def _total(used: str) -> Any:
    return func.coalesce(func.sum(col(NodeExecution.usage)[used].as_integer()), 0)


async def find_nested_ids(
    session: AsyncSession, owner: str, execution_id: uuid.UUID, firings: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], uuid.UUID]:
    """Return by (node, n) the ids of the nested executions that those node executions of an execution are."""
    if not firings:
        return {}
    place = tuple_(col(Execution.parent_node), col(Execution.parent_n))
    query = select(col(Execution.parent_node), col(Execution.parent_n), col(Execution.id)).where(
        col(Execution.parent_id) == execution_id,
        col(Execution.user_id) == owner,
        # Also says to the planner that the index of nested executions holds them all.
        col(Execution.parent_node).is_not(None),
        place.in_(firings),
    )
    rows = await session.execute(query)
    return {(node, n): nested_id for node, n, nested_id in rows if node is not None and n is not None}


async def delete_execution(session: AsyncSession, owner: str, execution_id: uuid.UUID) -> None:
    """Empty an execution's record and mark it as deleted. The caller has seen that it ended and whose it is.

    The stored values that nobody else uses are collected later.
    """
    await values.delete_uses(session, owner, execution_id)
    await files.delete_files_of(session, owner, execution_id)
    own = select(col(Execution.id)).where(col(Execution.id) == execution_id, col(Execution.user_id) == owner)
    for table, key in (
        (NodeExecution, col(NodeExecution.execution_id)),
        (ExecutionEvent, col(ExecutionEvent.execution_id)),
        (Review, col(Review.execution_id)),
        (ConversationTurn, col(ConversationTurn.execution_id)),
        (NodeStep, col(NodeStep.execution_id)),
    ):
        await session.execute(delete(table).where(key.in_(own)).execution_options(synchronize_session=False))
    emptied: dict[str, Any] = {"inputs": [{}], "outputs": {}, "error": None, "report": None}
    await session.execute(
        update(Execution)
        .where(col(Execution.id) == execution_id, col(Execution.user_id) == owner)
        .values(deleted_at=func.now(), **emptied)
        .execution_options(synchronize_session=False)
    )


def envelopes_of(execution: Execution) -> Iterator[Envelope]:
    """Return the envelopes around an execution's inputs and outputs."""
    yield execution.inputs
    yield from outputs_of(execution)


def outputs_of(execution: Execution) -> Iterator[Envelope]:
    """Return the envelopes around an execution's outputs."""
    for given in execution.outputs.values():
        yield from given


def _size(execution: Execution) -> int:
    return values.count_referenced_bytes(envelopes_of(execution))

"""Puts executions together as they go out: stored values in place of their envelopes, counts, links."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from app.api.schemas.executions import (
    EventView,
    ExecutionView,
    NodeExecutionView,
    ResultsView,
    StatsView,
    TemporalView,
)
from app.api.schemas.page import PageView
from app.database import Sessions
from app.errors import PayloadTooLarge
from app.graph.envelope import Envelope
from app.graph.status import TERMINAL, Status
from app.models import events, executions, node_executions
from app.models.executions import ExecutionFilter, NodeCounts
from app.models.page import Page
from app.models.tables.executions import Execution, NodeExecution
from app.models.values import Opener, count_referenced_bytes, open_with, show_reference
from app.starting.values import Values
from app.temporal import workflow_web_url

MAX_OPENED_BYTES = 32 * 1024 * 1024
"""No execution or node execution is shown with more than that of stored values; they are referred to instead."""


class Views:
    """Reads executions for their owners."""

    def __init__(
        self,
        sessions: Sessions,
        values: Values,
        *,
        temporal_ui_url: str | None,
        temporal_namespace: str,
    ) -> None:
        """Take where executions are recorded and where people look at them.

        Args:
            sessions: The record.
            values: Large values.
            temporal_ui_url: Temporal's Web UI, if there is one.
            temporal_namespace: Where the workflows are.
        """
        self._sessions = sessions
        self._values = values
        self._temporal_ui_url = temporal_ui_url
        self._temporal_namespace = temporal_namespace

    async def view(self, execution: Execution, *, refs: bool = False) -> ExecutionView:
        """Return one execution as it goes out; with `refs`, large values are only referred to.

        Raises:
            PayloadTooLarge: Without, it would be too much.
        """
        if not refs:
            _require_openable(executions.envelopes_of(execution))
        return (await self._view_all(execution.user_id, [execution], refs=refs))[0]

    async def view_done(self, execution: Execution) -> ExecutionView:
        """Return an execution with which something has just been done: that must not fail for what it holds."""
        return (await self._view_all(execution.user_id, [execution], refs=False))[0]

    async def view_list(
        self, owner: str, wanted: ExecutionFilter, *, cursor: str | None, limit: int, refs: bool = False
    ) -> Page[ExecutionView]:
        """Return an owner's executions, newest first."""
        async with self._sessions() as session:
            page = await executions.list_executions(
                session, owner, wanted, cursor=cursor, limit=limit, opens_values=not refs
            )
        return Page(await self._view_all(owner, page.items, refs=refs), page.next_cursor)

    async def view_results(self, execution: Execution, *, refs: bool = False) -> ResultsView:
        """Return how an execution ended.

        Raises:
            PayloadTooLarge: Without `refs` it would be too much.
        """
        if not refs:
            _require_openable(executions.outputs_of(execution))
        opener = await self._opener(execution.user_id, [list(executions.outputs_of(execution))], refs=refs)
        return ResultsView(
            status=Status(execution.status),
            outputs=_outputs(execution, opener(executions.outputs_of(execution))),
            error=execution.error,
        )

    async def view_nodes(
        self,
        owner: str,
        execution_id: uuid.UUID,
        *,
        node_id: str | None,
        status: Status | None,
        cursor: str | None,
        limit: int,
        refs: bool = False,
    ) -> Page[NodeExecutionView]:
        """Return node executions in the order in which something last happened to them."""
        async with self._sessions() as session:
            page = await node_executions.list_node_executions(
                session,
                owner,
                execution_id,
                node_id=node_id,
                status=status,
                cursor=cursor,
                limit=limit,
                opens_values=not refs,
            )
            firings = [(row.node, row.n) for row in page.items]
            nested = await executions.find_nested_ids(session, owner, execution_id, firings)
        opener = await self._opener(owner, map(node_executions.envelopes_of, page.items), refs=refs)
        items = [
            _node_view(row, opener(node_executions.envelopes_of(row)), nested.get((row.node, row.n)))
            for row in page.items
        ]
        return Page(items, page.next_cursor)

    async def view_events(
        self, owner: str, execution_id: uuid.UUID, *, after: int, limit: int
    ) -> PageView[EventView]:
        """Return the events with numbers above `after`, in their order."""
        async with self._sessions() as session:
            rows = await events.list_events(session, owner, execution_id, after=after, limit=limit + 1)
        items = [EventView(seq=row.seq, type=row.type, data=row.data, at=row.at) for row in rows[:limit]]
        return PageView(items=items, next_cursor=str(items[-1].seq) if len(rows) > limit else None)

    async def _opener(
        self, owner: str, rows: Iterable[Iterable[Envelope]], *, refs: bool
    ) -> Callable[[Iterable[Envelope]], Opener]:
        """Return what tells how a row, given by its envelopes, is shown: one that would be too much is not opened."""
        wanted = [] if refs else [given for given in map(list, rows) if _is_openable(given)]
        opened = open_with(await self._values.find(owner, chain.from_iterable(wanted)))
        return lambda given: show_reference if refs or not _is_openable(given) else opened

    async def _view_all(self, owner: str, rows: Sequence[Execution], *, refs: bool) -> list[ExecutionView]:
        open_ids = [row.id for row in rows if row.status not in TERMINAL]
        counts: Mapping[uuid.UUID, NodeCounts] = {}
        if open_ids:
            async with self._sessions() as session:
                counts = await executions.count_nodes(session, owner, open_ids)
        opener = await self._opener(owner, map(executions.envelopes_of, rows), refs=refs)
        return [
            self._view(row, counts.get(row.id) or _final_counts(row), opener(executions.envelopes_of(row)))
            for row in rows
        ]

    def _view(self, row: Execution, counts: NodeCounts, opener: Opener) -> ExecutionView:
        workflow_id = str(row.id)
        ui = self._temporal_ui_url
        return ExecutionView(
            id=row.id,
            graph_id=row.graph_id,
            graph_version=row.graph_version,
            user_id=row.user_id,
            status=Status(row.status),
            trigger=row.trigger,
            trigger_id=row.trigger_id,
            preset_id=row.preset_id,
            parent_id=row.parent_id,
            inputs=opener(row.inputs),
            outputs=_outputs(row, opener),
            error=row.error,
            cost=row.cost,
            budget=row.budget,
            on_insufficient_credits="fail" if row.on_insufficient_credits == "fail" else "pause",
            paused_for=row.paused_for or None,
            event_seq=row.event_seq,
            created_at=row.created_at,
            started_at=row.started_at,
            ended_at=row.ended_at,
            stats=_stats_of(row, counts),
            temporal=TemporalView(
                workflow_id=workflow_id,
                run_id=row.run_id or None,
                web_url=workflow_web_url(ui, namespace=self._temporal_namespace, workflow_id=workflow_id)
                if ui
                else None,
            ),
        )


def _stats_of(row: Execution, counts: NodeCounts) -> StatsView:
    report = row.report or {}
    return StatsView(
        node_executions=counts.node_executions,
        completed=counts.completed,
        failed=counts.failed,
        retries=counts.retries,
        input_tokens=counts.input_tokens,
        output_tokens=counts.output_tokens,
        duration=_seconds(row.started_at, row.ended_at) or 0.0,
        starved=report.get("starved_count", 0),
        skipped=report.get("skipped_count", 0),
        silent_outputs=report.get("silent_outputs", []),
    )


def _is_openable(envelopes: Iterable[Envelope]) -> bool:
    return count_referenced_bytes(envelopes) <= MAX_OPENED_BYTES


def _require_openable(envelopes: Iterable[Envelope]) -> None:
    size = count_referenced_bytes(envelopes)
    if size > MAX_OPENED_BYTES:
        raise PayloadTooLarge(
            "The values of this execution are too large for one answer; ask with refs=true",
            details={"bytes": size, "limit": MAX_OPENED_BYTES, "parameter": "refs"},
        )


def _final_counts(row: Execution) -> NodeCounts:
    """Return what was counted when the execution ended; nothing for one that has not begun."""
    return NodeCounts(
        row.node_executions, row.completed, row.failed, row.retries, row.input_tokens, row.output_tokens
    )


def _outputs(row: Execution, opener: Opener) -> dict[str, list[Any]]:
    return {name: [opener(envelope) for envelope in given] for name, given in row.outputs.items()}


def _node_view(row: NodeExecution, opener: Opener, nested_id: uuid.UUID | None) -> NodeExecutionView:
    outputs: dict[str, list[Any]] = {}
    for pin, envelope in row.outputs:
        outputs.setdefault(pin, []).append(opener(envelope))
    return NodeExecutionView(
        id=row.id,
        graph_execution_id=row.execution_id,
        node_id=row.node_id,
        block_id=row.block_id,
        status=Status(row.status),
        attempt=row.attempt,
        inputs={pin: opener(envelope) for pin, envelope in row.inputs.items()},
        outputs=outputs,
        error=row.error,
        cost=row.cost,
        usage=row.usage,
        started_at=row.started_at,
        ended_at=row.ended_at,
        execution_time=_seconds(row.started_at, row.ended_at) if row.ended_at else None,
        reused=row.is_reused,
        called_by=row.called_by,
        nested_execution_id=nested_id,
    )


def _seconds(started_at: datetime | None, ended_at: datetime | None) -> float | None:
    if started_at is None:
        return None
    return max(0.0, ((ended_at or datetime.now(UTC)) - started_at).total_seconds())

"""Reviews: what a node execution that asks a person needs done when it begins to wait and when that is over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from app.activities.contracts.messages import Decision, Release
from app.activities.contracts.waves import Step, WaveRequest
from app.activities.node_runs import NodeRun, dump, node_execution_id
from app.blocks.base import BlockInput, Emitted
from app.blocks.calling import check_output
from app.blocks.holds import ReviewBlock, Verdict
from app.graph.envelope import is_reference
from app.json_values import to_json
from app.models.changes import Changes, EventRecord
from app.models.event_types import EventType
from app.models.review_writes import Outcome, ReviewRecord, ReviewStatus, close_review, find_outcome

TIMED_OUT_PIN = "timed_out"


class Reviews:
    """Asks, and takes in what came of it.

    What decides is the review's row: an answer is in it before anybody is told so, and a time-out that finds one there
    yields to it. So nobody is told that their answer counts when it does not.
    """

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        """Take the database."""
        self._pool = pool

    async def begin(
        self, run: NodeRun, given: BlockInput, request: WaveRequest, changes: Changes
    ) -> list[Any]:
        """Write down what is asked.

        Raises:
            BlockError: It cannot be asked.
        """
        question = _block_of(run).ask(given)
        data, _ = run.shelf.wrap(to_json(question.data))
        if is_reference(data):
            changes.uses.add(data[0])
        asked = {
            "name": question.name,
            "instructions": question.instructions,
            "editable": question.is_editable,
            "schema": question.schema,
            "data": data,
        }
        now, seconds = datetime.now(UTC), question.timeout_seconds
        due_at = None if seconds is None else now + timedelta(seconds=seconds)
        identity = node_execution_id(run.execution_id, run.number, run.n)
        changes.reviews.append(
            ReviewRecord(identity, run.number, run.node.id, run.n, dump(asked), now, due_at)
        )
        _tell(run, changes, EventType.REVIEW_REQUESTED, due_at=due_at.isoformat() if due_at else None)
        return [Step.REVIEW, run.number, run.n, seconds, question.remind_after_seconds]

    async def end(
        self, run: NodeRun, given: BlockInput, release: Release, changes: Changes
    ) -> Sequence[Emitted] | None:
        """Return what is emitted now that somebody has answered, or nobody in time.

        Raises:
            BlockError: Nobody has answered, and the graph does not handle that.
        """
        outcome = await self._find(run, _wanted(release))
        if outcome is None or outcome.status in (ReviewStatus.OPEN, ReviewStatus.WITHDRAWN):
            return None
        block = _block_of(run)
        if outcome.answer is None:
            _tell(run, changes, EventType.REVIEW_TIMED_OUT)
            emitted = block.run_late(given, is_linked=TIMED_OUT_PIN in run.node.routes)
        else:
            answer = outcome.answer
            _tell(run, changes, EventType.REVIEW_ANSWERED, approved=answer["approved"], by=answer["by"])
            data = block.ask(given).data
            if answer["data"] is not None:
                data = (await run.shelf.open({"data": answer["data"]}))["data"]
            emitted = block.run(given, Verdict(answer["approved"], data, answer["message"]))
        return list(_checked(block, emitted))

    async def remind(self, run: NodeRun, changes: Changes) -> None:
        """Tell those who follow the execution's events that nobody has answered yet, unless somebody has."""
        outcome = await self._find(run, None)
        if outcome is not None and outcome.status is ReviewStatus.OPEN:
            _tell(run, changes, EventType.REVIEW_REMINDER)

    async def _find(self, run: NodeRun, wanted: Outcome | None) -> Outcome | None:
        """Return what has come of a review, or None when there is none; if it is open, close it as wanted first."""
        identity = node_execution_id(run.execution_id, run.number, run.n)
        key = {"execution_id": run.execution_id, "owner": run.shelf.owner}
        async with self._pool.acquire() as connection:
            if wanted is not None:
                await close_review(connection, identity, wanted, **key)
            return await find_outcome(connection, identity, **key)


def _wanted(release: Release) -> Outcome | None:
    """Return what a release closes a review with; None when it only says that there is something to be seen."""
    if release.decision is not None:
        return Outcome(ReviewStatus.ANSWERED, answer_of(release.decision))
    return Outcome(ReviewStatus.TIMED_OUT, None) if release.is_timeout else None


def answer_of(decision: Decision) -> dict[str, Any]:
    """Return a decision as the record keeps it."""
    return {
        "approved": decision.approved,
        "by": decision.by,
        "message": decision.message,
        "data": decision.data,
    }


def _block_of(run: NodeRun) -> ReviewBlock:
    block = run.node.block
    if not isinstance(block, ReviewBlock):
        raise TypeError(f"{block.name} asks nobody")
    return block


def _checked(block: ReviewBlock, emitted: Iterator[Emitted]) -> Iterator[Emitted]:
    for pin, value in emitted:
        yield pin, check_output(block, pin, value)


def _tell(run: NodeRun, changes: Changes, type: EventType, **details: Any) -> None:
    data = {
        "node_id": run.node.id,
        "node_execution_id": str(node_execution_id(run.execution_id, run.number, run.n)),
        "n": run.n,
        **details,
    }
    changes.events.append(EventRecord(f"{run.number}#{run.n}:{type}", type, json.dumps(data)))

"""Reviews for those who answer them: listed, shown, answered by their owner or by whoever holds a signed link.

An answer is written down, and the workflow told of it, while the review's row is locked: of several answers exactly one
is taken, and a time-out that comes meanwhile waits to see it.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from app.activities.contracts.messages import RELEASE_SIGNAL, Decision, Release
from app.activities.reviews import answer_of
from app.api.auditing import concern
from app.api.engine import RPC_TIMEOUT, Engine, engine_errors
from app.api.idempotency import note_done
from app.api.review_links import LinkSigner, ReviewLink
from app.api.schemas.reviews import AnswerBody, QuestionView, ReviewView
from app.blocks.json_schemas import problem_with
from app.database import Sessions
from app.errors import BlockLimitExceeded, Conflict, InvalidRequest, NotFound, PayloadTooLarge
from app.graph.envelope import Envelope
from app.models import reviews, users, values
from app.models.page import Page
from app.models.review_writes import ReviewStatus
from app.models.reviews import Listed, ReviewFilter, data_of, hash_of, status_of
from app.models.tables.reviews import Review
from app.starting.values import Values
from app.tenants import work_for

log = structlog.get_logger(__name__)

LINK_LIFETIME = timedelta(days=30)
SIGNAL_SECONDS = 8.0
LINK_HOLDER = "link"
"""Who has answered, when a signed link was all that was shown."""
_CLOSED = {
    ReviewStatus.ANSWERED: "The review has been answered",
    ReviewStatus.TIMED_OUT: "The time for an answer is over",
    ReviewStatus.WITHDRAWN: "The execution has ended",
}


class Reviews:
    """Shows reviews and takes answers."""

    def __init__(
        self,
        sessions: Sessions,
        engine: Engine,
        values: Values,
        *,
        system_sessions: Sessions,
        links: LinkSigner | None,
    ) -> None:
        """Take what reviews need.

        Args:
            sessions: Where they are recorded.
            engine: Where the executions run that wait for them.
            values: Large values.
            system_sessions: Where the review of a link is found, whosever it is.
            links: Signs links; without it there are none.
        """
        self._sessions = sessions
        self._engine = engine
        self._values = values
        self._system_sessions = system_sessions
        self._links = links

    async def view_list(
        self, owner: str, wanted: ReviewFilter, *, cursor: str | None, limit: int, link_prefix: str | None
    ) -> Page[ReviewView]:
        """Return an owner's reviews, newest first.

        Args:
            owner: Whose.
            wanted: Which.
            cursor: Where the page begins.
            limit: The most it holds.
            link_prefix: The address of links up to their signed part; None for whoever may not answer.
        """
        async with self._sessions() as session:
            page = await reviews.list_reviews(session, owner, wanted, cursor=cursor, limit=limit)
        shown = await self._open(owner, [review for review, _ in page.items])
        items = [self._view(row, data, link_prefix) for row, data in zip(page.items, shown, strict=True)]
        return Page(items, page.next_cursor)

    async def answer(
        self, owner: str, execution_id: uuid.UUID, review_id: uuid.UUID, given: AnswerBody
    ) -> QuestionView:
        """Answer a review as its owner.

        Raises:
            NotFound: The owner has no such review.
            Conflict: It cannot be answered any more.
            InvalidRequest: The edited data are not taken.
            EngineUnavailable: Temporal is away; nothing was answered.
        """
        async with self._sessions() as session:
            review = await reviews.require_review(session, owner, execution_id, review_id)
        return await self._answer(review, given, by=owner)

    # -- by link

    def read_link(self, token: str) -> ReviewLink:
        """Return what a link says.

        Raises:
            NotFound: It is not ours, or has expired.
        """
        if self._links is None:
            raise NotFound
        return self._links.read(token)

    async def view_linked(self, link: ReviewLink) -> QuestionView:
        """Return what is asked.

        Raises:
            NotFound: It is no longer asked so.
            Conflict: It cannot be answered any more.
        """
        review = await self._require_linked(link)
        _require_open(review)
        return _question(review, (await self._open(review.user_id, [review]))[0])

    async def answer_linked(self, link: ReviewLink, given: AnswerBody) -> QuestionView:
        """Answer a review as the holder of its link.

        Raises:
            NotFound: It is no longer asked so.
            Conflict: It cannot be answered any more.
            InvalidRequest: The edited data are not taken.
            EngineUnavailable: Temporal is away; nothing was answered.
        """
        review = await self._require_linked(link)
        concern(review.user_id, review.id, by=LINK_HOLDER)
        return await self._answer(review, given, by=LINK_HOLDER)

    async def _require_linked(self, link: ReviewLink) -> Review:
        async with self._system_sessions() as session:
            review = await reviews.require_linked_review(session, link.execution_id, link.review_id)
            if hash_of(review) != link.shown:
                raise NotFound
            # Nobody answers for somebody who may not answer themselves.
            await users.require_active(session, review.user_id)
        work_for(review.user_id)
        return review

    # -- answering

    async def _answer(self, review: Review, given: AnswerBody, *, by: str) -> QuestionView:
        _require_open(review)
        shown = (await self._open(review.user_id, [review]))[0]
        edited = await self._store_edited(review, shown, given)
        client = await self._engine.client()
        decision = Decision(given.approved, by, edited, given.message)
        async with self._sessions.begin() as session:
            locked = await reviews.lock_review(session, review)
            _require_open(locked)
            if edited is not None:
                await values.add_uses(session, locked.execution_id, locked.user_id, [edited])
            await note_done(session)
            # The signal first: what is written down as answered, the workflow knows of.
            await _signal(client, locked, decision)
            reviews.close_answered(locked, answer_of(decision))
        log.info("review_answered", execution_id=str(review.execution_id), review_id=str(review.id), by=by)
        return _question(locked, shown)

    async def _store_edited(self, review: Review, shown: Any, given: AnswerBody) -> Envelope | None:
        """Return the envelope of edited data, or None for data as they were shown."""
        if given.data is None or _text(given.data) == _text(shown):
            return None
        if not given.approved:
            raise InvalidRequest("Only an approval may bring edited data")
        if not review.asked["editable"]:
            raise InvalidRequest("The data of this review may not be edited")
        await asyncio.to_thread(_check_edited, given.data, shown, review.asked["schema"])
        return await self._values.store(review.user_id, given.data)

    # -- showing

    async def _open(self, owner: str, rows: Sequence[Review]) -> list[Any]:
        opened = values.open_with(await self._values.find(owner, map(data_of, rows)))
        return [opened(data_of(row)) for row in rows]

    def _view(self, row: Listed, data: Any, link_prefix: str | None) -> ReviewView:
        review, graph_id = row
        answer = review.answer
        return ReviewView(
            **_question(review, data).model_dump(by_alias=True),
            execution_id=review.execution_id,
            graph_id=graph_id,
            node_id=review.node_id,
            node_execution_id=review.id,
            link=self._link(review, link_prefix),
            approved=answer["approved"] if answer else None,
            answered_by=answer["by"] if answer else None,
            answered_at=review.closed_at if answer else None,
            message=answer["message"] if answer else None,
        )

    def _link(self, review: Review, prefix: str | None) -> str | None:
        if prefix is None or self._links is None or status_of(review) is not ReviewStatus.OPEN:
            return None
        expires_at = review.due_at or datetime.now(UTC) + LINK_LIFETIME
        link = ReviewLink(review.execution_id, review.id, hash_of(review), expires_at)
        return prefix + self._links.write(link)


def _require_open(review: Review) -> None:
    status = status_of(review)
    if status is not ReviewStatus.OPEN:
        raise Conflict(_CLOSED[status])


async def _signal(client: Client, review: Review, decision: Decision) -> None:
    handle = client.get_workflow_handle(str(review.execution_id))
    release = Release(review.node, review.n, decision=decision)
    with engine_errors():
        try:
            async with asyncio.timeout(SIGNAL_SECONDS):
                await handle.signal(RELEASE_SIGNAL, release, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise Conflict(_CLOSED[ReviewStatus.WITHDRAWN]) from error
            raise


def _check_edited(edited: Any, shown: Any, schema: dict[str, Any] | None) -> None:
    if schema is None:
        if _kind(edited) != _kind(shown):
            raise InvalidRequest(f"The edited data are of the type {_kind(edited)}, not {_kind(shown)}")
        return
    try:
        problem = problem_with(edited, schema)
    except BlockLimitExceeded as error:
        raise PayloadTooLarge(error.message) from error
    if problem is not None:
        raise InvalidRequest("The edited data do not satisfy the schema", details={"problem": problem})


def _question(review: Review, data: Any) -> QuestionView:
    asked = review.asked
    return QuestionView(
        name=asked["name"],
        instructions=asked["instructions"],
        data=data,
        editable=asked["editable"],
        schema=asked["schema"],
        requested_at=review.requested_at,
        due_at=review.due_at,
        status=status_of(review),
    )


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _kind(value: Any) -> str:
    """Return the JSON type of a value."""
    kinds = {
        type(None): "null",
        bool: "boolean",
        int: "number",
        float: "number",
        str: "string",
        list: "array",
    }
    return kinds.get(type(value), "object")

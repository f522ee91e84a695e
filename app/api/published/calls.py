"""Calls published graphs by their names: each call is an execution, and what became of it is its answer."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from app.api.auditing import describe
from app.api.edge.rate_limits import RateLimits
from app.api.live.following import Following
from app.api.live.notices import Notice
from app.api.schemas.publications import RunView
from app.api.services.launching import Started
from app.api.services.publications import Publications
from app.api.services.records import is_ended
from app.api.services.starting import Starting, StartRequest
from app.api.services.views import Views
from app.api.services.waiting import Waiting
from app.errors import Category, PerdureError, Severity
from app.graph.status import Status
from app.models.tables.executions import Execution
from app.starting.deciding import Wanted

TRIGGER = "api"
RESULT = "result"
"""The name of the last event of a stream."""


class ExecutionFailed(PerdureError):
    """The execution failed."""

    code = "EXECUTION_FAILED"
    severity = Severity.LOW
    category = Category.BUSINESS
    status: ClassVar[Status] = Status.FAILED

    @classmethod
    def of(cls, execution: Execution) -> PerdureError:
        """Return the error that an execution has ended with."""
        error = execution.error or {}
        details = {"execution_id": str(execution.id), "status": execution.status, "cost": execution.cost}
        return cls(error.get("message"), details={**details, "error": execution.error})


class ExecutionCancelled(ExecutionFailed):
    """The execution was stopped."""

    code = "EXECUTION_CANCELLED"
    status = Status.CANCELLED


_ERRORS: Mapping[str, type[ExecutionFailed]] = {
    kind.status: kind for kind in (ExecutionFailed, ExecutionCancelled)
}


class Calls:
    """Calls the published graphs of all owners, one owner at a time."""

    def __init__(
        self,
        publications: Publications,
        starting: Starting,
        waiting: Waiting,
        following: Following,
        views: Views,
        *,
        rate_limits: RateLimits,
    ) -> None:
        """Take what knows the names, what starts executions, waits for them, follows and shows them, and counts."""
        self._publications = publications
        self._rate_limits = rate_limits
        self._starting = starting
        self._waiting = waiting
        self._following = following
        self._views = views

    async def start(
        self,
        owner: str,
        slug: str,
        inputs: Mapping[str, Any],
        *,
        budget: int | None = None,
        idempotency_key: str | None = None,
    ) -> Started:
        """Start an execution of what an owner has published under a name, or find the one of the same call.

        Args:
            owner: Whose.
            slug: The name.
            inputs: Run inputs; the preset's are taken for others.
            budget: The most credits that the call may cost, if that is less than what the publication says.
            idempotency_key: As the caller gave it.

        Raises:
            NotFound: There is nothing of that name.
            RateLimited: It has been called too often.
            GraphInvalid: The inputs do not fit.
            InsufficientCredits: The owner has no credits.
            InvalidRequest: The key was used for another call.
            EngineUnavailable: Nothing was started.
        """
        publication = (await self._publications.require_slug(owner, slug)).publication
        if publication.calls_per_minute is not None:
            await self._rate_limits.take_call(publication.graph_id, per_minute=publication.calls_per_minute)
        describe(slug=slug)
        wanted = Wanted(
            owner=owner,
            graph_id=publication.graph_id,
            version=publication.graph_version,
            preset_id=publication.preset_id,
            inputs=inputs,
            trigger=TRIGGER,
            budget=min((bound for bound in (budget, publication.budget) if bound is not None), default=None),
        )
        asked = {"run": slug, "inputs": dict(inputs), "budget": budget}
        return await self._starting.start(StartRequest(wanted, idempotency_key, asked))

    async def view(self, execution: Execution) -> RunView:
        """Return what has become of a call so far. Values that are too large for it are referred to.

        Raises:
            ExecutionFailed: It has failed or was stopped.
        """
        error = _ERRORS.get(execution.status)
        if error is not None:
            raise error.of(execution)
        return await self._show(execution)

    async def follow(self, owner: str, execution_id: uuid.UUID) -> AsyncGenerator[Sequence[Notice]]:
        """Give what happens in a call in batches of notices, and last what has become of it."""
        followed = self._following.follow(owner, execution_id, after=0, takes_tokens=False)
        async with aclosing(followed):
            async for batch in followed:
                yield batch
        execution = await self._waiting.until_ended(owner, execution_id, 0.0)
        # One that has not ended is followed elsewhere: this server is being stopped.
        if is_ended(execution):
            shown = (await self._show(execution)).model_dump(mode="json")
            yield [Notice(RESULT, {**shown, "error": execution.error})]

    async def _show(self, execution: Execution) -> RunView:
        shown = await self._views.view_done(execution)
        return RunView(execution_id=shown.id, status=shown.status, outputs=shown.outputs, cost=shown.cost)


def place_of(execution_id: uuid.UUID) -> str:
    """Return where an execution is found, below the address of the API."""
    return f"/api/executions/{execution_id}"

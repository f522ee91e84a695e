"""Runs many executions again at once: each from what failed, each for itself; what is refused is said."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.api.auditing import describe, pass_over
from app.api.idempotency import IdempotentCalls
from app.api.schemas.reruns import BulkRerunBody, RerunBody
from app.api.schemas.stopping import MOST_IDS
from app.api.services.identity import execution_id_of, fingerprint_of
from app.api.services.rerunning import Rerunning, RerunRequest
from app.database import Sessions
from app.errors import NotFound, PerdureError
from app.graph.status import Status
from app.models import originals
from app.models.originals import EndedExecution, EndedFilter

AT_ONCE = 8
"""Reruns under way."""
ANSWER_WITHIN_SECONDS = 20.0
"""After that none is begun: what each costs depends on how much its original has done."""
NOT_REACHED = "NOT_REACHED"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An execution that was not run again, and why."""

    id: str
    code: str
    message: str


@dataclass(slots=True)
class BulkRerun:
    """What became of the executions that were to be run again."""

    matched: int
    next_cursor: str | None
    started: int = 0
    refused: list[Refusal] = field(default_factory=list)


class BulkRerunning:
    """Runs again what an owner names."""

    def __init__(
        self,
        sessions: Sessions,
        rerunning: Rerunning,
        calls: IdempotentCalls,
        *,
        answer_within_seconds: float = ANSWER_WITHIN_SECONDS,
    ) -> None:
        """Take where executions are recorded, what runs one again, and what remembers keys."""
        self._sessions = sessions
        self._rerunning = rerunning
        self._calls = calls
        self._answer_within_seconds = answer_within_seconds

    async def rerun(self, owner: str, body: BulkRerunBody, idempotency_key: str | None) -> BulkRerun:
        """Run executions again, at most 1,000 in one call.

        Each gets a key of its own that follows from the call's. Repeating a call starts what it had not come to, and
        nothing that has ended only since.

        Raises:
            InvalidRequest: The key was used for another call.
        """
        if idempotency_key is not None:
            await self._calls.require_same(
                owner=owner,
                key=idempotency_key,
                fingerprint=fingerprint_of({"bulk rerun": body.model_dump(mode="json")}),
            )
        ids = None if body.ids is None else list(dict.fromkeys(body.ids))
        page_cursor = body.cursor
        if ids is None:
            status = body.status or Status.FAILED
            wanted = EndedFilter(graph_id=body.graph_id, status=status)
            async with self._sessions() as session:
                page = await originals.list_ended(session, owner, wanted, cursor=page_cursor, limit=MOST_IDS)
            named = await self._ended_before(owner, page.items, idempotency_key)
            result = BulkRerun(len(named), page.next_cursor)
        else:
            named = await self._of_ids(owner, ids, body)
            result = BulkRerun(len(named), None)
        slots = asyncio.Semaphore(AT_ONCE)
        deadline = time.monotonic() + self._answer_within_seconds

        async def one(text: str) -> None:
            # The task's own context: the call as a whole stands in the log.
            pass_over()
            async with slots:
                if time.monotonic() >= deadline:
                    result.refused.append(Refusal(text, NOT_REACHED, "There was no time left for this one"))
                    return
                await self._rerun_one(owner, text, body, idempotency_key, result)

        await asyncio.gather(*map(one, named))
        describe(started=result.started, refused=len(result.refused))
        return result

    async def _of_ids(self, owner: str, ids: Sequence[str], body: BulkRerunBody) -> list[str]:
        """Return those of the ids that everything else given names too; where nothing else is given, all of them."""
        if body.graph_id is None and body.status is None:
            return list(ids)
        known = [uuid.UUID(text) for text in ids if _is_id(text)]
        wanted = EndedFilter(known, body.graph_id, body.status)
        async with self._sessions() as session:
            page = await originals.list_ended(session, owner, wanted, limit=MOST_IDS)
        return [str(row.id) for row in page.items]

    async def _ended_before(
        self, owner: str, rows: Sequence[EndedExecution], idempotency_key: str | None
    ) -> list[str]:
        """Leave out what has ended since an earlier call with the same key: its own reruns may be among that."""
        if idempotency_key is not None:
            reruns = [execution_id_of(owner, _key_for(idempotency_key, str(row.id))) for row in rows]
            async with self._sessions() as session:
                since = await originals.find_earliest(session, owner, reruns)
            if since is not None:
                rows = [row for row in rows if row.ended_at <= since]
        return [str(row.id) for row in rows]

    async def _rerun_one(
        self, owner: str, text: str, body: BulkRerunBody, key: str | None, result: BulkRerun
    ) -> None:
        try:
            if not _is_id(text):
                raise NotFound
            execution_id = uuid.UUID(text)
            own_key = None if key is None else _key_for(key, str(execution_id))
            request = RerunRequest(owner, execution_id, RerunBody(confirm=body.confirm), own_key)
            if body.dry_run:
                await self._rerunning.require_allowed(request)
            else:
                await self._rerunning.rerun(request)
        except PerdureError as error:
            result.refused.append(Refusal(text, error.code, error.message))
        else:
            result.started += 1


def _key_for(idempotency_key: str, execution_id: str) -> str:
    return f"{idempotency_key}\n{execution_id}"


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True

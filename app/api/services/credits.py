"""Shows users what their credits went for, and sets their budgets."""

from __future__ import annotations

import uuid

from app.api.auditing import describe
from app.api.idempotency import note_done
from app.api.services.funding import Funding
from app.database import Sessions
from app.models import budgets, credit_history
from app.models.budgets import Standing
from app.models.credit_history import HistoryItem, HistoryKind
from app.models.page import Page
from app.models.tables.credits import CreditEntry


class Credits:
    """The credits of users."""

    def __init__(self, sessions: Sessions, funding: Funding) -> None:
        """Take where they are, and what wakes executions that wait for a budget."""
        self._sessions = sessions
        self._funding = funding

    async def require(self, owner: str) -> Standing:
        """Return how a user stands.

        Raises:
            NotFound: There is no such user.
        """
        async with self._sessions() as session:
            return await budgets.require_standing(session, owner)

    async def set_budgets(self, owner: str, *, daily: int | None, total: int | None) -> Standing:
        """Set a user's budgets; what waits for one that is now large enough goes on.

        Raises:
            NotFound: There is no such user.
        """
        describe(daily=daily, total=total)
        async with self._sessions.begin() as session:
            await budgets.set_budgets(session, owner, daily=daily, total=total)
            standing = await budgets.require_standing(session, owner)
            await note_done(session)
        await self._funding.resume(owner)
        return standing

    async def list_history(
        self,
        owner: str,
        *,
        kind: HistoryKind | None,
        execution_id: uuid.UUID | None,
        cursor: str | None,
        limit: int,
    ) -> Page[HistoryItem]:
        """Return what a user's balance has changed for, newest first."""
        async with self._sessions() as session:
            return await credit_history.list_history(
                session, owner, kind=kind, execution_id=execution_id, cursor=cursor, limit=limit
            )

    async def list_entries(
        self, owner: str, *, execution_id: uuid.UUID | None, cursor: str | None, limit: int
    ) -> Page[CreditEntry]:
        """Return the entries of a user's ledger, newest first."""
        async with self._sessions() as session:
            return await credit_history.list_entries(
                session, owner, execution_id=execution_id, cursor=cursor, limit=limit
            )

"""The audit log as it is read: by users what concerns them, by administrators everything."""

from __future__ import annotations

from app.database import Sessions
from app.models import audit
from app.models.audit import AuditFilter
from app.models.page import Page
from app.models.tables.audit import AuditEntry


class AuditLog:
    """Reads the audit log."""

    def __init__(self, sessions: Sessions, system_sessions: Sessions) -> None:
        """Take where it is kept.

        Args:
            sessions: Of the user that a request works for.
            system_sessions: Of all users.
        """
        self._sessions = sessions
        self._system_sessions = system_sessions

    async def list_own(self, owner: str, *, cursor: str | None, limit: int) -> Page[AuditEntry]:
        """Return what concerns a user, newest first, whoever did it."""
        async with self._sessions() as session:
            return await audit.list_entries(session, AuditFilter(user_id=owner), cursor=cursor, limit=limit)

    async def list_all(self, wanted: AuditFilter, *, cursor: str | None, limit: int) -> Page[AuditEntry]:
        """Return entries of all users, newest first."""
        async with self._system_sessions() as session:
            return await audit.list_entries(session, wanted, cursor=cursor, limit=limit)

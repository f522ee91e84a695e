"""Reads users for themselves."""

from __future__ import annotations

from app.database import Sessions
from app.models import users
from app.models.tables.users import User


class Users:
    """The users there are."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def require(self, user_id: str) -> User:
        """Return a user.

        Raises:
            NotFound: There is no such user.
        """
        async with self._sessions() as session:
            return await users.require_user(session, user_id)

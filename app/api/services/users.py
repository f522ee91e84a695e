"""Reads and changes users for themselves."""

from __future__ import annotations

from app.api.idempotency import note_done
from app.api.schemas.users import UserBody
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

    async def change(self, user_id: str, body: UserBody) -> User:
        """Change how a user is called, where they live and what they like.

        Raises:
            NotFound: There is no such user.
        """
        async with self._sessions.begin() as session:
            user = await users.require_user(session, user_id)
            # Only these columns are written: the balance is changed by others at the same time.
            if body.name is not None:
                user.name = body.name
            if body.timezone is not None:
                user.timezone = body.timezone
            if body.preferences is not None:
                user.preferences = body.preferences.given()
            await note_done(session)
        return user

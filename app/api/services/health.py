"""Whether what the API stands on can be reached."""

from __future__ import annotations

import asyncio

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.api.engine import Engine
from app.database import Sessions
from app.errors import EngineUnavailable

CHECK_TIMEOUT_SECONDS = 2.0


class Health:
    """Checks Postgres and Temporal."""

    def __init__(self, sessions: Sessions, engine: Engine) -> None:
        """Take what is checked."""
        self._sessions = sessions
        self._engine = engine

    async def check(self) -> dict[str, str]:
        """Return `ok` for each part.

        Raises:
            EngineUnavailable: Some part is down; the details name it.
        """
        postgres, temporal = await asyncio.gather(self._is_postgres_up(), self._is_temporal_up())
        parts = {"postgres": "ok" if postgres else "down", "temporal": "ok" if temporal else "down"}
        down = [name for name, state in parts.items() if state == "down"]
        if down:
            raise EngineUnavailable(f"Not reachable: {', '.join(down)}", details=parts)
        return parts

    async def _is_postgres_up(self) -> bool:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS), self._sessions() as session:
                await session.execute(text("SELECT 1"))
        except (OSError, SQLAlchemyError):
            return False
        return True

    async def _is_temporal_up(self) -> bool:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
                await self._engine.client()
        except (EngineUnavailable, TimeoutError):
            return False
        return True

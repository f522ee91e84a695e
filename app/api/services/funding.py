"""Has executions go on that stopped for want of credits, when their owner has some again."""

from __future__ import annotations

import asyncio
import uuid

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from app.activities.funding import fund_execution
from app.api.engine import Engine, engine_errors
from app.database import Sessions
from app.errors import EngineUnavailable
from app.models import unpaid

AT_ONCE = 8
"""Signals under way."""
MOST_AT_ONCE = 200
"""How many executions are told before an answer; the reconciler tells the others."""

log = structlog.get_logger(__name__)


class Funding:
    """Wakes what waits for credits."""

    def __init__(self, sessions: Sessions, engine: Engine) -> None:
        """Take where executions are recorded, whoever a request works for, and where they run."""
        self._sessions = sessions
        self._engine = engine

    async def resume(self, user_id: str) -> int:
        """Have a user's executions go on whose next call could be paid now; return how many were told.

        To be called when the transaction is committed that has given the user credits, or has raised a budget. What
        cannot be told now the reconciler tells later, so this never fails because Temporal is away.
        """
        async with self._sessions() as session:
            waiting = await unpaid.list_payable(session, user_id, limit=MOST_AT_ONCE)
        if not waiting:
            return 0
        try:
            client = await self._engine.client()
        except EngineUnavailable:
            log.warning("executions_not_funded", user_id=user_id, executions=len(waiting))
            return 0
        limit = asyncio.Semaphore(AT_ONCE)
        told = await asyncio.gather(*(_tell(client, execution_id, limit) for execution_id in waiting))
        log.info("executions_funded", user_id=user_id, executions=sum(told))
        return sum(told)


async def _tell(client: Client, execution_id: uuid.UUID, limit: asyncio.Semaphore) -> bool:
    async with limit:
        try:
            with engine_errors():
                await fund_execution(client, str(execution_id))
        except (EngineUnavailable, RPCError) as error:
            log.warning("execution_not_funded", execution_id=str(execution_id), reason=type(error).__name__)
            return False
    return True

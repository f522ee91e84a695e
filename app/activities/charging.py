"""What one call costs its owner: reserved before it, charged with the record of its end."""

from __future__ import annotations

from typing import Any

import asyncpg

from app.activities.failures import TooLate
from app.activities.node_runs import NodeRun
from app.activities.outages import wait_out
from app.activities.pricing import Price
from app.blocks.base import Block
from app.errors import NotFound
from app.models import spending
from app.models.changes import Changes
from app.models.spending import Settlement, Spend


class Charging:
    """The credits of one attempt at a node execution, or at one turn of it."""

    def __init__(self, pool: asyncpg.Pool[Any], run: NodeRun, block: Block, *, owner: str) -> None:
        """Take whose call it is; nothing is reserved yet."""
        self._pool = pool
        self._run = run
        self._block = block
        self._owner = owner
        self._may_be_reserved = False
        self.price = Price(block)
        self.spend = Spend(run.id)

    def expect_earlier(self) -> None:
        """Take into account that an earlier attempt may have reserved, although this one may find another price."""
        self._may_be_reserved = bool(self._block.costs)

    async def reserve(self) -> None:
        """Reserve what the call is estimated to cost. Another attempt finds it reserved.

        Raises:
            InsufficientCredits: The balance does not cover it.
            BudgetExceeded: The budget of the execution does not cover it.
            SpendingLimitReached: The owner's budget of the day, or the total one, does not cover it.
            TooLate: The execution has ended, or the node execution has.
        """
        if not self.price.estimate:
            return
        self._may_be_reserved = True

        async def enter() -> None:
            async with self._pool.acquire() as connection:
                await spending.reserve(
                    connection, self._run.execution_id, self.spend, self.price.estimate, owner=self._owner
                )

        try:
            await wait_out(enter)
        except NotFound as error:
            raise TooLate from error

    def count_open(self) -> int:
        """Return the credits that are not charged yet: of a turn, what has come since the turns before it."""
        return max(0, self.price.charge(self._run.meter) - self._run.cost)

    def settle(self, changes: Changes, cost: int) -> None:
        """Have what is reserved end with these changes; `cost` credits of it are charged."""
        if self._may_be_reserved:
            changes.settlements.append(Settlement(self.spend, cost))

"""What one call costs: estimated from its inputs, measured while it runs, and charged after it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from app.activities.node_runs import dump
from app.blocks.base import Block
from app.graph.costs import Use
from app.llm.metering import Meter

MOST_CREDITS = 2**31 - 1
"""As much as the record of a node execution holds."""


class Price:
    """The price of one call of a block."""

    def __init__(self, block: Block) -> None:
        """Take the block; nothing is known of the call yet."""
        self._block = block
        self._given: Mapping[str, Any] = {}
        self._counts_bytes = any(cost.type == "byte" for cost in block.costs)
        self._began = time.monotonic()
        self._items = 0
        self._bytes = 0
        self.estimate = 0
        """Credits to be reserved; 0 for a call that is free, and stays so."""

    def read(self, given: Mapping[str, Any]) -> None:
        """Estimate the price from the inputs as the block takes them."""
        self._given = given
        self.estimate = self._block.cost_of(given)

    def begin(self) -> None:
        """Note that the block begins."""
        self._began = time.monotonic()

    def count(self, value: Any) -> None:
        """Count what the block emits, as JSON has it."""
        self._items += 1
        if self._counts_bytes:
            self._bytes += len(dump(value))

    def charge(self, meter: Meter) -> int:
        """Return what the call has cost until now, over all its attempts as far as the meter counts."""
        if not self.estimate:
            return 0
        used = Use(
            milliseconds=round((time.monotonic() - self._began) * 1_000),
            bytes=self._bytes,
            items=self._items,
            microcredits=meter.microcredits,
            microdollars=meter.microdollars,
        )
        return min(self._block.charge_of(self._given, used), MOST_CREDITS)

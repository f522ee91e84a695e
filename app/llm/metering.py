"""What the models that one call asks have used."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

_COUNTS = ("input_tokens", "output_tokens", "calls", "microcredits", "microdollars")
_PRICES = ("microcredits", "microdollars")


@dataclass(slots=True)
class Meter:
    """Adds up what a node execution uses, over all its attempts."""

    model: str = ""
    """The one that was asked last."""
    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0
    microcredits: int = 0
    """What the answers cost, in millionths of a credit; nothing with somebody's own key."""
    microdollars: int = 0
    """What the block says that a provider asks for it, in millionths of a US dollar."""

    def add(self, model: str, *, input_tokens: int, output_tokens: int, microcredits: int = 0) -> None:
        """Count one answer."""
        self.model = model
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.calls += 1
        self.microcredits += microcredits

    def add_dollars(self, amount: float) -> None:
        """Count what a provider asks for what a block has had it do.

        Raises:
            ValueError: It is less than nothing, or no number.
        """
        if not 0 <= amount < math.inf:
            raise ValueError(f"{amount} dollars cannot be asked")
        self.microdollars += math.ceil(amount * 1_000_000)

    def include(self, usage: dict[str, Any] | None) -> None:
        """Add what was recorded as usage."""
        if usage is None:
            return
        self.model = usage["model"]
        for count in _COUNTS:
            setattr(self, count, getattr(self, count) + usage.get(count, 0))

    def copy(self) -> Meter:
        """Return a meter that stands as this one stands now."""
        return replace(self)

    def since(self, before: Meter) -> dict[str, Any] | None:
        """Return what was used since the meter stood so, or None when no model was asked."""
        spent = Meter(self.model, *(getattr(self, count) - getattr(before, count) for count in _COUNTS))
        return spent.as_json()

    def raise_to(self, usage: dict[str, Any] | None) -> None:
        """Count what earlier attempts have recorded, unless it is counted already."""
        if usage is None:
            return
        self.model = self.model or usage["model"]
        for count in _COUNTS:
            setattr(self, count, max(getattr(self, count), usage.get(count, 0)))

    def as_json(self) -> dict[str, Any] | None:
        """Return what is recorded, by name, or None when nothing was used; what costs is left out when it is 0."""
        if not self.calls and not self.microdollars:
            return None
        counts = {count: getattr(self, count) for count in _COUNTS}
        return {"model": self.model} | {
            name: count for name, count in counts.items() if count or name not in _PRICES
        }

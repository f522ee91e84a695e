"""What calls of blocks cost: by the call, or by what was measured while it ran. Whole numbers throughout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Use:
    """What a call has used, as it was measured."""

    milliseconds: int = 0
    """How long the block ran."""
    bytes: int = 0
    """What it emitted, as JSON text."""
    items: int = 0
    """How many values it emitted."""
    microcredits: int = 0
    """What the answers of language models cost, at the rates of each model, in millionths of a credit."""
    microdollars: int = 0
    """What the block says that a provider asks for it, in millionths of a US dollar."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call costs."""

    credits: int = 0
    """Credits per call; 1 credit is 1 US cent. Where the cost goes by an amount, what is reserved before."""
    type: Literal["run", "second", "byte", "items", "tokens", "cost_usd"] = "run"
    filter: Mapping[str, Any] = field(default_factory=dict)
    """Inputs that must be so for this cost to apply."""
    amount: int = 0
    """Credits per `divisor` of seconds, bytes, items or dollars; tokens have the rates of their model."""
    divisor: int = 1

    def charge(self, use: Use) -> int:
        """Return what a call has cost, in whole credits: any part of one counts as one."""
        match self.type:
            case "run":
                return self.credits
            case "tokens":
                return _rounded_up(use.microcredits, MILLION)
            case "cost_usd":
                return _rounded_up(use.microdollars * self.amount, MILLION * self.divisor)
            case "second":
                return _rounded_up(use.milliseconds * self.amount, 1_000 * self.divisor)
            case "byte":
                return _rounded_up(use.bytes * self.amount, self.divisor)
            case "items":
                return _rounded_up(use.items * self.amount, self.divisor)

    @property
    def estimate(self) -> int:
        """Return what is reserved before a call: something if it may cost anything, so that nobody without has it."""
        return self.credits if self.type == "run" else max(1, self.credits)


def _rounded_up(amount: int, divisor: int) -> int:
    return -(-amount // divisor)

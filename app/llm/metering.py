"""What the models that one call asks have used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

_COUNTS = ("input_tokens", "output_tokens", "calls")


@dataclass(slots=True)
class Meter:
    """Adds up what a node execution uses, over all its attempts."""

    model: str = ""
    """The one that was asked last."""
    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0

    def add(self, model: str, *, input_tokens: int, output_tokens: int) -> None:
        """Count one answer."""
        self.model = model
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.calls += 1

    def include(self, usage: dict[str, Any] | None) -> None:
        """Add what was recorded as usage."""
        if usage is None:
            return
        self.model = usage["model"]
        for count in _COUNTS:
            setattr(self, count, getattr(self, count) + usage[count])

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
            setattr(self, count, max(getattr(self, count), usage[count]))

    def as_json(self) -> dict[str, Any] | None:
        """Return what is recorded: `{model, input_tokens, output_tokens, calls}`, or None when no model was asked."""
        if not self.calls:
            return None
        return {"model": self.model} | {count: getattr(self, count) for count in _COUNTS}

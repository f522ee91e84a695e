"""What came of a round, for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class RoundReport:
    """What came of a round."""

    name: str
    executions: int = 0
    inflicted: Counter[str] = field(default_factory=Counter)
    refusals: int = 0
    seconds: float = 0.0
    recovery_seconds: float = 0.0
    """From the last repair to the last end."""
    found_on_record: int = 0
    """Attempts that found their work done: each would have been a doubled effect."""
    retries: int = 0
    """Attempts beyond the first, those that the graphs ask for included."""
    questions: int = 0
    """That a model was asked."""
    asked_again: int = 0
    """Those of them that were asked before, without an answer that was recorded."""
    charged: int = 0
    """Credits that the executions have cost."""
    hand_overs: int = 0
    """How often a run of a workflow handed over to the next, because its history was long."""
    broken: dict[str, list[str]] = field(default_factory=dict)
    """What each invariant that does not hold says."""
    timeline: list[str] = field(default_factory=list)
    folder: Path | None = None
    """Where the evidence is, when something is broken."""

    def blame(self, invariant: str, sentence: str) -> None:
        """Note that an invariant is broken."""
        self.broken.setdefault(invariant, []).append(sentence)

    def __str__(self) -> str:
        """Return the whole story, for whoever has to find out."""
        broken = [f"  {name}: {text}" for name, texts in self.broken.items() for text in texts]
        return "\n".join(
            [f"round {self.name}", *broken, "what happened:", *self.timeline, f"evidence: {self.folder}"]
        )

"""The activity that calls a block outside any execution."""

from dataclasses import dataclass
from typing import Any

TRIAL_ACTIVITY = "execute_block"
LONGEST_TRIAL_SECONDS = 300.0
"""A block may take this long outside executions, unless it has less time anyway."""


@dataclass(frozen=True)
class BlockTrial:
    """Asks for one call of a block outside any execution."""

    block_id: str
    inputs: dict[str, Any]
    user_id: str


@dataclass(frozen=True)
class BlockTrialResult:
    """What the block emitted."""

    outputs: list[tuple[str, Any]]
    """(pin, value) in the order they were emitted."""
    cost: int

"""What a running execution can be sent: the names of its updates and signals, and what they carry."""

from dataclasses import dataclass, field

from app.graph.envelope import Envelope

PAUSE_UPDATE = "pause"
RESUME_UPDATE = "resume"
RELEASE_SIGNAL = "release"
"""Carries a `Release`."""
STEER_SIGNAL = "steer"
"""To a nested execution: do as the one that it is nested in. Carries whether that is paused."""
WIND_UP_SIGNAL = "wind_up"
"""To a shard: start nothing more."""
FUND_SIGNAL = "fund"
"""There are credits again: go on if it was for want of them that nothing went on."""
ADMIT_SIGNAL = "admit"
"""There is room: ask again whether it may begin."""


@dataclass(frozen=True)
class Decision:
    """What somebody has answered to a review."""

    approved: bool
    by: str
    """Who: a user's id, or `link` for the holder of a signed link."""
    data: Envelope | None = None
    """Edited data, validated; None for the data as it was shown."""
    message: str = ""


@dataclass(frozen=True)
class Release:
    """Ends the wait of a held node execution: a review was answered or timed out, a nested execution has ended.

    The argument of the signal `release`, and what a wave is told of it.
    """

    node: int
    n: int
    inputs: list[tuple[int, Envelope]] = field(default_factory=list)
    """Filled in by the workflow."""
    decision: Decision | None = None
    is_timeout: bool = False

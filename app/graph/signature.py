"""What the core must know of a block to validate and run a graph: its pins, and how a call of it is carried.

Blocks describe themselves with these (`app.blocks.base`); the core never sees a block's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.graph.credentials import CredentialsNeed


class Lane(StrEnum):
    """How a block call is carried."""

    LOCAL = "local"
    """Pure and fast: in a wave, inside one local activity. A wave may be recomputed."""
    REMOTE = "remote"
    """Touches the world, costs money or takes long: a regular activity of its own."""
    TIMER = "timer"
    """Waits on a durable Temporal timer."""
    HOLD = "hold"
    """Waits for something outside: a person, a nested execution."""


class Kind(StrEnum):
    """What part a block plays in a graph."""

    STANDARD = "standard"
    INPUT = "input"
    """Fires at the start with a run input. Its links are static."""
    TRIGGER = "trigger"
    """Fires at the start with what has set the run off: the run input `payload`."""
    OUTPUT = "output"
    """What reaches its `value` pin is a run output."""
    NOTE = "note"
    """Never executed."""
    NESTED = "nested"
    """Executes another graph. Its pins are that graph's inputs and outputs; its own fields are constants."""


PAYLOAD = "payload"
"""The run input of triggers, and the pin that it arrives on."""


class Effect(StrEnum):
    """What a second call of the same node execution does to the world."""

    PURE = "pure"
    KEYED = "keyed"
    """The other side recognises the idempotency key."""
    UNKEYED = "unkeyed"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failing call is tried, and how long between."""

    max_attempts: int = 3
    initial_seconds: float = 1.0
    backoff: float = 2.0
    maximum_seconds: float = 60.0


ONE_ATTEMPT = RetryPolicy(max_attempts=1)


@dataclass(frozen=True, slots=True)
class InputPin:
    """One named input of a block."""

    annotation: Any
    """The Python type of its values."""
    is_required: bool
    """Whether the block cannot run without it."""
    default: Any = None
    """What it is when nothing is given, where that is always the same."""


@dataclass(frozen=True, slots=True)
class BlockSignature:
    """A block as the core sees it."""

    id: str
    """A stable UUID."""
    slug: str
    """A stable name in snake_case, usable in place of the id."""
    name: str
    """The class name: the activity type in Temporal."""
    kind: Kind
    lane: Lane
    pool: str
    """The task queue suffix that remote calls go to; empty for the common queue."""
    inputs: Mapping[str, InputPin]
    outputs: frozenset[str]
    """Output pins; every block has `error` besides unless it is an input or output."""
    takes_any_input: bool = False
    """Whether a link may feed a pin that is not declared."""
    gives_any_output: bool = False
    """Whether a link may start at a pin that is not declared."""
    emits_many: bool = False
    """Whether one call may emit several values on the same pin."""
    is_static: bool = False
    """Whether links that start at this block are static."""
    retry: RetryPolicy = ONE_ATTEMPT
    timeout_seconds: float = 60.0
    effect: Effect = Effect.PURE
    calls_tools: bool = False
    """Whether links from its pin `tools` lead to nodes that it may call (`app.graph.tools`)."""
    credentials: Mapping[str, CredentialsNeed] = field(default_factory=dict)
    """What the inputs that hold credentials are for, by input."""
    is_sensitive: bool = False
    """Whether it acts in the world in a way that its owner may want to be asked about first."""
    off_because: str = ""
    """Why it is not executed here; empty when it is."""

    @property
    def required(self) -> frozenset[str]:
        """Return the input pins without which the block cannot run."""
        return frozenset(name for name, pin in self.inputs.items() if pin.is_required)

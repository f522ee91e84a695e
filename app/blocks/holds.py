"""Blocks that wait for something outside: for a person, or for the execution of another graph."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from app.blocks.base import Block, BlockInput, Emitted
from app.graph.signature import Effect, Kind, Lane


class NestedGraphBlock(Block):
    """A block whose work is an execution of another graph: that graph's inputs and outputs are its pins.

    Its own fields are constants of the node, which no link leads to. What they mean is in `app.graph.nesting`.
    """

    kind = Kind.NESTED
    lane = Lane.HOLD
    # What the nested graph does, nobody knows here.
    effect = Effect.UNKEYED
    takes_any_input = True
    gives_any_output = True
    emits_many = True

    class Input(BlockInput):
        """Which graph, and what it is given."""

        graph_id: str
        """A graph of the same owner."""
        graph_version: int | None = None
        """The version; the one that is active when the node fires if none is named."""
        inputs: dict[str, Any] = Field(default={})
        """Run inputs that no link brings, by name."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked, and for how long."""

    name: str
    """What it is about, in a few words."""
    data: Any
    """What is shown."""
    instructions: str = ""
    is_editable: bool = False
    schema: dict[str, Any] | None = None
    """JSON schema of edited data."""
    timeout_seconds: float | None = None
    """How long an answer is waited for; None for ever."""
    remind_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a question."""

    is_approved: bool
    data: Any
    """As it was shown, or as it was edited."""
    message: str = ""


class ReviewBlock(Block):
    """A block that waits for a person's answer, however long, and then emits."""

    kind = Kind.STANDARD
    lane = Lane.HOLD

    @abstractmethod
    def ask(self, given: Any) -> Question:
        """Return what to ask.

        Raises:
            BlockError: There is nothing that can be asked.
        """

    @abstractmethod
    def run(self, given: Any, verdict: Verdict) -> Iterator[Emitted]:
        """Emit the outputs once somebody has answered."""

    @abstractmethod
    def run_late(self, given: Any, *, is_linked: bool) -> Iterator[Emitted]:
        """Emit the outputs when nobody has answered in time.

        Args:
            given: The inputs.
            is_linked: Whether a link leaves the pin `timed_out`.

        Raises:
            BlockError: That is a failure.
        """

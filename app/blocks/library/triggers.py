"""The block at which a graph begins that something outside sets off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.graph.signature import Kind


class GenericWebhookTriggerBlock(PureBlock):
    """Begin with what somebody outside has sent.

    What was sent is the run input `payload`; the graph cannot be executed without.
    """

    id = "8fa8c167-2002-47ce-aba8-97572fc5d387"
    categories = (BlockCategory.INPUT,)
    kind = Kind.TRIGGER

    class Input(BlockInput):
        """What was sent, and what goes along."""

        payload: dict[str, Any] = Field(default={})
        """What was sent. The run input `payload` takes its place."""
        constants: dict[str, Any] = Field(default={})
        """Whatever is to be passed on each time."""

    class Output(BlockOutput):
        """What was sent, and what goes along."""

        payload: dict[str, Any]
        """What was sent."""
        constants: dict[str, Any]
        """As they were given."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit both."""
        yield "constants", given.constants
        yield "payload", given.payload

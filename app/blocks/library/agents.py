"""The block that executes another graph. How that is carried is the engine's affair, not known here."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.blocks.base import BlockCategory, BlockOutput
from app.blocks.holds import NestedGraphBlock


class AgentExecutorBlock(NestedGraphBlock):
    """Execute another graph of yours: its inputs and outputs are the pins of the node.

    The fields stand in the node as constants. A link leads to an input of that graph, or from one of its outputs.
    """

    id = "e189baac-8c20-45a1-94a7-55177ea42565"
    categories = (BlockCategory.AGENT,)

    class Input(NestedGraphBlock.Input):
        """Which graph, and what it is given."""

        user_id: str | None = None
        """Kept from exported agents and not read: the graph is the owner's of the execution."""
        agent_name: str | None = None
        """What people call the graph."""
        input_schema: dict[str, Any] = Field(default_factory=dict)
        """The graph's inputs as an editor knows them; the graph itself decides."""
        output_schema: dict[str, Any] = Field(default_factory=dict)
        """As `input_schema`, for its outputs."""
        nodes_input_masks: dict[str, dict[str, Any]] | None = None
        """Kept from exported agents; a mask that says anything is refused."""

    class Output(BlockOutput):
        """The outputs of the graph."""

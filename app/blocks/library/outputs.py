"""The block through which values leave a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockError
from app.graph.signature import Kind
from app.templating.templates import render


class AgentOutputBlock(PureBlock):
    """An output of the graph: what arrives at `value` is a result of the run under this name."""

    id = "363ae599-353e-4804-937e-b2ee3cef3da4"
    categories = (BlockCategory.OUTPUT, BlockCategory.BASIC)
    kind = Kind.OUTPUT
    is_static = True

    class Input(BlockInput):
        """The output."""

        value: Any = None
        """The result."""
        name: str
        """The name of the run output."""
        title: str | None = None
        """What people read instead of the name."""
        description: str | None = None
        """What the output means."""
        format: str = ""
        """A template in which the value stands under the output's name."""
        escape_html: bool = False
        """Whether the template makes HTML, so that values are escaped."""
        advanced: bool = False
        """Whether to show it only on request."""
        secret: bool = False
        """Whether to hide its value."""

    class Output(BlockOutput):
        """The value and the name, or what the template made of them."""

        output: Any
        """The value; the rendered text when there is a template, `Error: …` if it cannot be rendered."""
        name: Any
        """The name; not emitted when there is a template."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the rendered text, or the value and then the name."""
        if given.format:
            yield "output", _render_or_error(given)
        else:
            yield "output", given.value
            yield "name", given.name


def _render_or_error(given: AgentOutputBlock.Input) -> str:
    try:
        return render(given.format, {given.name: given.value}, escape_html=given.escape_html)
    except BlockError as error:
        # A result in the wrong dress is still a result: the run's outputs hold the raw value.
        return f"Error: {error.message}"

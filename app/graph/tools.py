"""Tool links: links from the pin `tools` of a block that calls nodes, and the pins by which such a block is resumed.

Each of them is a source of its own, so that a value goes to one input of one node.
"""

from __future__ import annotations

from app.graph.definition import Link

TOOLS = "tools"
_PREFIX = "tools_^_"
_BETWEEN = "_~_"

AGENT_MODE = "agent_mode_max_iterations"
"""The input that says whether such a block goes on with what its tools give; 0 for not."""
CONVERSATION_HISTORY = "conversation_history"
LAST_TOOL_OUTPUT = "last_tool_output"
LOOP_PINS = frozenset({CONVERSATION_HISTORY, LAST_TOOL_OUTPUT})
"""A firing of a block that calls tools takes both or none of them. So the first one does not wait for them."""


def is_tool_pin(name: str) -> bool:
    """Answer whether a source name is that of a tool link."""
    return name == TOOLS or name.startswith(_PREFIX)


def tool_pin(sink_id: str, sink_name: str) -> str:
    """Return the pin on which the value for an input of a node is emitted."""
    return f"{_PREFIX}{sink_id}{_BETWEEN}{sink_name}"


def source_name_of(link: Link, *, calls_tools: bool) -> str:
    """Return where a link starts; a tool link at a pin of its own, however its author named that.

    Args:
        link: The link.
        calls_tools: Whether the block that it starts at calls tools.
    """
    if calls_tools and is_tool_pin(link.source_name):
        return tool_pin(link.sink_id, link.sink_name)
    return link.source_name

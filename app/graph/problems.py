"""What is wrong with a graph, as callers are told: by node and field, or of the graph as a whole."""

from __future__ import annotations

from typing import TypeAlias

NodeErrors: TypeAlias = dict[str, dict[str, str]]
"""Node id, then field, then the message. What concerns the whole graph stands under `graph`."""

GRAPH = "graph"


class Problems:
    """Collects problems: one of each field, the first that was found."""

    def __init__(self) -> None:
        self.node_errors: NodeErrors = {}

    def add(self, node_id: str, field: str, message: str) -> None:
        """Add a problem of one node."""
        self.node_errors.setdefault(node_id, {}).setdefault(field, message)

    def add_to_graph(self, field: str, message: str) -> None:
        """Add a problem of the whole graph."""
        self.add(GRAPH, field, message)

"""What is wrong with a graph, as callers are told: by node and field, or of the graph as a whole."""

from __future__ import annotations

from typing import TypeAlias

NodeErrors: TypeAlias = dict[str, dict[str, str]]
"""Node id, then field, then the message. What concerns the whole graph stands under `graph`."""

GRAPH = "graph"
MOST_PROBLEMS = 1_000
"""So many are told. A small request with many faults would else be answered with a very large one."""
MOST_CHARACTERS = 500
"""Of the name of a field, which whoever sends it makes as long as they like."""


class Problems:
    """Collects problems: one of each field, the first that was found."""

    def __init__(self) -> None:
        self.node_errors: NodeErrors = {}
        self._count = 0

    def add(self, node_id: str, field: str, message: str) -> None:
        """Add a problem of one node."""
        fields = self.node_errors.get(node_id, {})
        if field[:MOST_CHARACTERS] in fields:
            return
        if self._count == MOST_PROBLEMS:
            more = f"There is more that is wrong; these are the first {MOST_PROBLEMS} problems"
            self.node_errors.setdefault(GRAPH, {}).setdefault("more", more)
            return
        self._count += 1
        fields[field[:MOST_CHARACTERS]] = message
        self.node_errors[node_id] = fields

    def add_to_graph(self, field: str, message: str) -> None:
        """Add a problem of the whole graph."""
        self.add(GRAPH, field, message)

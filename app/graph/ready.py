"""Remote node executions that are ready, in the order in which they are to be started."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

from app.graph.pairing import Inputs


class Turns:
    """Nodes take turns, and a node's firings come in their order: a large fan-out does not hold up the others."""

    def __init__(self) -> None:
        self._by_node: OrderedDict[int, deque[tuple[int, Inputs]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, node: int, n: int, inputs: Inputs) -> None:
        """Add a node execution that has become ready."""
        self._by_node.setdefault(node, deque()).append((n, inputs))
        self._count += 1

    def put_back(self, node: int, n: int, inputs: Inputs) -> None:
        """Add one that was taken and came back undone: it is the next of its node."""
        self._by_node.setdefault(node, deque()).appendleft((n, inputs))
        self._count += 1

    def take(self) -> tuple[int, int, Inputs]:
        """Return (node, n, inputs) of the next one.

        Raises:
            KeyError: Nothing is ready.
        """
        node, waiting = self._by_node.popitem(last=False)
        n, inputs = waiting.popleft()
        if waiting:
            self._by_node[node] = waiting
        self._count -= 1
        return node, n, inputs

    def dump(self) -> list[Any]:
        """Return the state as JSON."""
        return [
            [node, n, list(inputs.items())]
            for node, waiting in self._by_node.items()
            for n, inputs in waiting
        ]

    def load(self, dumped: list[Any]) -> None:
        """Take over a state."""
        for node, n, pairs in dumped:
            self.put(node, n, dict(pairs))

"""What the shape of a graph says about how it will run: depth, what runs side by side, loops, where all ways meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.graph.definition import GraphDefinition
from app.graph.firing import FiringGraph
from app.graph.signature import Kind
from app.graph.topology import Condensed, condense, find_cuts
from app.graph.validation import Signatures


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A node on every way from where an execution begins to where it ends, at which ways meet or part."""

    node_id: str
    in_degree: int
    """Nodes that lead to it."""
    out_degree: int
    """Nodes that it leads to."""


@dataclass(frozen=True, slots=True)
class Loop:
    """Nodes that all lead back to themselves. How often they fire, nothing in the graph bounds."""

    node_ids: tuple[str, ...]
    has_exit: bool
    """Whether a link leads out of it."""


class Analysis:
    """The shape of one graph. Notes, and nodes that can never fire, are no part of it."""

    def __init__(self, graph: GraphDefinition, signatures: Signatures) -> None:
        """Analyse a valid graph, in time in proportion to its nodes and links."""
        self.graph = FiringGraph(graph, signatures)
        self.fires = self.graph.find_firing()
        self._after = [
            [sink for sink in node.after if self.fires[sink]] if self.fires[number] else []
            for number, node in enumerate(self.graph.nodes)
        ]
        self.condensed: Condensed = condense(self._after)
        self._is_part = [any(self.fires[node] for node in each.nodes) for each in self.condensed.components]
        levels = self.condensed.levels()
        depth = 1 + max(
            (level for level, is_part in zip(levels, self._is_part, strict=True) if is_part), default=-1
        )
        self._levels: list[list[int]] = [[] for _ in range(depth)]
        for component, level in enumerate(levels):
            if self._is_part[component]:
                self._levels[level].append(component)

    @property
    def max_depth(self) -> int:
        """Return how many nodes stand on the longest way; a loop counts as one."""
        return len(self._levels)

    @property
    def width(self) -> int:
        """Return how many nodes can run at the same time, at most; a loop counts as one."""
        return max(map(len, self._levels), default=0)

    @property
    def parallel_branches(self) -> int:
        """Return how many branches begin at nodes that lead to several others."""
        return sum(len(after) for after in self._after if len(after) > 1)

    @property
    def batches(self) -> list[list[str]]:
        """Return the nodes in the order in which they can run; those of one batch can run at the same time."""
        return [
            self._ids(sorted(node for each in level for node in self._nodes(each))) for level in self._levels
        ]

    @property
    def loops(self) -> list[Loop]:
        """Return the loops, each after those that lead to it."""
        return [
            Loop(tuple(self._ids(component.nodes)), has_exit=bool(following))
            for component, following in zip(self.condensed.components, self.condensed.after, strict=True)
            if component.is_loop
        ]

    @property
    def never_firing(self) -> list[str]:
        """Return the nodes that can never fire, since an input of theirs waits for what never comes."""
        return [
            each.node.id
            for number, each in enumerate(self.graph.nodes)
            if not self.fires[number] and each.block.kind is not Kind.NOTE
        ]

    @property
    def ends(self) -> list[int]:
        """Return the numbers of the nodes from which no link leads on; all of a loop that none leads out of."""
        parts = zip(self.condensed.components, self.condensed.after, self._is_part, strict=True)
        return [
            node for each, following, is_part in parts if is_part and not following for node in each.nodes
        ]

    @property
    def starts(self) -> list[int]:
        """Return the numbers of the nodes that fire when an execution begins."""
        return [number for number, node in enumerate(self.graph.nodes) if node.is_start]

    def find_bottlenecks(self) -> list[Bottleneck]:
        """Return the bottlenecks, the first one first."""
        before = [0] * len(self._after)
        for following in self._after:
            for sink in following:
                before[sink] += 1
        ends, starts = self.ends, self.starts
        outer = {*starts, *ends}
        return [
            Bottleneck(self.graph.nodes[node].node.id, before[node], len(self._after[node]))
            for node in find_cuts(self._after, starts, ends)
            if node not in outer and max(before[node], len(self._after[node])) > 1
        ]

    def critical_path(self, seconds: Mapping[str, float]) -> tuple[list[str], float]:
        """Return the way that takes longest, with all nodes of the loops on it, and how long it takes.

        Args:
            seconds: By node id, over all its firings that follow one another.
        """
        weights = [
            sum(seconds.get(node_id, 0.0) for node_id in self._ids(component.nodes))
            for component in self.condensed.components
        ]
        path = [each for each in self.condensed.heaviest_path(weights) if self._is_part[each]]
        return self._ids([node for each in path for node in self._nodes(each)]), sum(
            weights[each] for each in path
        )

    def _nodes(self, component: int) -> tuple[int, ...]:
        return self.condensed.components[component].nodes

    def _ids(self, numbers: Sequence[int]) -> list[str]:
        return [self.graph.nodes[number].node.id for number in numbers]

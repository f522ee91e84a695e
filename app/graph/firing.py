"""Which nodes of a graph can fire at all, and how often at most. What values there will be is not known here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from app.graph.definition import GraphDefinition, Link, Node
from app.graph.placeholders import PLACEHOLDER, stand_in
from app.graph.signature import BlockSignature, Kind
from app.graph.tools import LOOP_PINS, is_tool_pin
from app.graph.topology import Condensed
from app.graph.validation import Signatures


@dataclass(frozen=True, slots=True)
class FiringNode:
    """A node with what leads to it and away from it, by number."""

    node: Node
    block: BlockSignature
    pins: dict[str, list[Link]] = field(default_factory=dict)
    """The links that feed each linked input."""
    before: dict[int, None] = field(default_factory=dict)
    after: dict[int, None] = field(default_factory=dict)

    @property
    def is_start(self) -> bool:
        """Answer whether it fires when an execution begins."""
        return self.block.kind is not Kind.NOTE and (not self.pins or self.block.kind is Kind.INPUT)

    @property
    def awaited(self) -> Collection[str]:
        """Return the inputs without which it does not fire for the first time."""
        if self.block.calls_tools and self.pins.keys() >= LOOP_PINS:
            return self.pins.keys() - LOOP_PINS
        return self.pins.keys()


class FiringGraph:
    """The nodes of a valid graph by number, and where links lead."""

    def __init__(self, graph: GraphDefinition, signatures: Signatures) -> None:
        """Read a graph.

        Args:
            graph: It may hold nodes whose block is gone since it was saved; they take and give anything.
            signatures: Of the blocks there are.
        """
        self.numbers = {node.id: number for number, node in enumerate(graph.nodes)}
        self.nodes = [
            FiringNode(node, stand_in(node, signatures.get(node.block_id)) or PLACEHOLDER)
            for node in graph.nodes
        ]
        for link in graph.links:
            source, sink = self.numbers[link.source_id], self.numbers[link.sink_id]
            self.nodes[sink].pins.setdefault(link.sink_name, []).append(link)
            self.nodes[sink].before[source] = None
            self.nodes[source].after[sink] = None

    def find_firing(self) -> list[bool]:
        """Return by node whether it may ever fire: whether every input that it waits for may get a value."""
        fires = [node.is_start for node in self.nodes]
        waits_for = [set(node.awaited) for node in self.nodes]
        ready = [number for number, is_start in enumerate(fires) if is_start]
        fed_by: list[dict[int, list[str]]] = [{} for _ in self.nodes]
        for sink, node in enumerate(self.nodes):
            for pin, links in node.pins.items():
                for link in links:
                    fed_by[self.numbers[link.source_id]].setdefault(sink, []).append(pin)
        while ready:
            for sink, pins in fed_by[ready.pop()].items():
                waits_for[sink].difference_update(pins)
                if not waits_for[sink] and not fires[sink]:
                    fires[sink] = True
                    ready.append(sink)
        return fires

    def most_firings(self, condensed: Condensed, fires: Sequence[bool]) -> list[int | None]:
        """Return by node how often it fires at most; None where nothing in the graph bounds that.

        Args:
            condensed: This graph with its loops folded.
            fires: Which nodes may fire.
        """
        most: list[int | None] = [0] * len(self.nodes)
        for component in condensed.components:
            for number in component.nodes:
                if fires[number]:
                    most[number] = None if component.is_loop else self._most_of(number, most)
        return most

    def _most_of(self, number: int, most: Sequence[int | None]) -> int | None:
        node = self.nodes[number]
        if not node.pins:
            return 1
        arrivals = {pin: self._arrivals(links, most) for pin, links in node.pins.items()}
        if node.block.kind is Kind.INPUT:
            return _total([1, *arrivals.values()])
        # A value that stays on its link begins nothing by itself while another pin waits for one that is used up.
        used_up = [
            arrivals[pin] for pin, links in node.pins.items() if not any(link.is_static for link in links)
        ]
        if not used_up:
            return _total(list(arrivals.values()))
        return min((count for count in used_up if count is not None), default=None)

    def _arrivals(self, links: Sequence[Link], most: Sequence[int | None]) -> int | None:
        return _total([self._sent(link, most) for link in links])

    def _sent(self, link: Link, most: Sequence[int | None]) -> int | None:
        source = self.numbers[link.source_id]
        block = self.nodes[source].block
        is_call = block.calls_tools and is_tool_pin(link.source_name)
        if not most[source]:
            return most[source]
        return None if is_call or block.emits_many else most[source]


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None

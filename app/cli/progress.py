"""How far an execution has come, node by node, put together from its events. Knows no terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.types import Event, Graph, NodeExecution

TEXT_KEPT = 2_000
"""Characters of what a model is writing: the end of it is shown."""
_FIRING = {
    "node_started": "RUNNING",
    "node_retrying": "RETRYING",
    "node_waiting": "WAITING",
    "node_completed": "COMPLETED",
    "node_failed": "FAILED",
    "node_cancelled": "CANCELLED",
    "node_skipped": "SKIPPED",
}
OPEN = frozenset({"RUNNING", "RETRYING", "WAITING"})
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


@dataclass(slots=True)
class NodeProgress:
    """One node."""

    id: str
    title: str
    depth: int = 0
    """How far to the right it stands: branches do, chains do not."""
    status: str = ""
    """Of its last firing; empty while there was none. `RETRYING` between two attempts, `REUSED` when a rerun has taken
    it over."""
    firings: dict[str, str] = field(default_factory=dict)
    """Those that are open, by id."""
    ended: int = 0
    """How many firings have ended."""
    retries: int = 0
    attempt: int = 1
    """Of its last firing."""
    note: str = ""
    """Why it failed last, while that matters."""
    text: str = ""
    """What a model is writing for it."""
    cost: int = 0
    seconds: float = 0.0
    """Of all its firings that have ended."""
    began: dict[str, datetime] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it works, waits or is about to be tried again."""
        return bool(self.firings)


class Progress:
    """An execution as its events tell it."""

    def __init__(self, graph: Graph | None) -> None:
        """Begin with the nodes of a graph; without it they appear as they fire."""
        self.nodes: dict[str, NodeProgress] = {} if graph is None else dict(_in_tree(graph))
        self.status = "QUEUED"
        self.reason = ""
        """Why it is paused, when nobody asked for it."""
        self.cost = 0
        self.seq = 0
        """Of the last event."""

    def take(self, event: Event) -> None:
        """Take what has happened."""
        data = event["data"]
        if event["seq"] is None:
            node = self._node(data["node_id"])
            node.text = (node.text + data["text"])[-TEXT_KEPT:]
            return
        self.seq = event["seq"]
        if event["type"] in _FIRING and "node_id" in data:
            self._take_firing(self._node(data["node_id"]), _FIRING[event["type"]], data, _moment(event["at"]))
        elif event["type"] == "execution_reused":
            for node_id in data.get("nodes", {}):
                self._node(node_id).status = "REUSED"
        elif event["type"].startswith("execution_"):
            self.status = data.get("status", self.status)
            self.reason = str(data.get("reason", ""))
        elif event["type"] == "review_requested" and "node_id" in data:
            self._node(data["node_id"]).note = "waits for a review"

    def take_costs(self, rows: Iterable[NodeExecution]) -> None:
        """Take what node executions have cost."""
        for node in self.nodes.values():
            node.cost = 0
        for row in rows:
            self._node(row["node_id"]).cost += row["cost"]

    @property
    def is_over(self) -> bool:
        """Whether the execution has ended."""
        return self.status in ENDED

    @property
    def begun(self) -> int:
        """How many nodes have fired."""
        return sum(bool(node.status) for node in list(self.nodes.values()))

    @property
    def done(self) -> int:
        """How many nodes have fired and are not at work."""
        # A copy, as all that is drawn is: whoever draws does so in a thread, and nodes may appear meanwhile.
        return sum(bool(node.status) and not node.is_open for node in list(self.nodes.values()))

    def choose(self, room: int) -> list[NodeProgress]:
        """Return the nodes to show, in order: all of them if there is room, and else those that matter most now."""
        nodes = list(self.nodes.values())
        if len(nodes) <= room:
            return nodes
        chosen = {id(node) for node in sorted(nodes, key=_rank)[: max(room, 0)]}
        return [node for node in nodes if id(node) in chosen]

    def _node(self, node_id: str) -> NodeProgress:
        return self.nodes.setdefault(node_id, NodeProgress(node_id, node_id))

    def _take_firing(
        self, node: NodeProgress, status: str, data: Mapping[str, Any], at: datetime | None
    ) -> None:
        firing = str(data.get("node_execution_id"))
        node.status = status
        node.attempt = data.get("attempt", 1)
        error = data.get("error") or {}
        node.note = str(error.get("message", "")) if status in ("RETRYING", "FAILED") else ""
        if status == "RETRYING":
            node.retries += 1
        if status in OPEN:
            if status == "RUNNING":
                node.text = ""
            node.firings[firing] = status
            if at is not None:
                node.began.setdefault(firing, at)
            return
        node.firings.pop(firing, None)
        node.ended += 1
        began = node.began.pop(firing, None)
        if began is not None and at is not None:
            node.seconds += (at - began).total_seconds()
        if node.firings:
            node.status = next(iter(node.firings.values()))


def _rank(node: NodeProgress) -> tuple[int, int]:
    if node.is_open:
        return 0, 0
    if node.status == "FAILED":
        return 1, 0
    return (2, -node.ended) if node.status else (3, 0)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _in_tree(graph: Graph) -> Iterator[tuple[str, NodeProgress]]:
    """Give the nodes with what follows from each below it. What several lead to stands below the first."""
    nodes = {node["id"]: node for node in graph["nodes"]}
    followers: dict[str, dict[str, None]] = {node_id: {} for node_id in nodes}
    for link in graph["links"]:
        if link["source_id"] != link["sink_id"]:
            followers[link["source_id"]][link["sink_id"]] = None
    led_to = {sink for sinks in followers.values() for sink in sinks}
    seen: set[str] = set()
    # What nothing leads to comes first; what is left then stands in loops that begin anywhere.
    for root in [*(node_id for node_id in nodes if node_id not in led_to), *nodes]:
        below = [(root, 0)]
        while below:
            node_id, depth = below.pop()
            if node_id in seen:
                continue
            seen.add(node_id)
            node = nodes[node_id]
            yield node_id, NodeProgress(node_id, str(node["metadata"].get("title") or node_id), depth)
            fresh = [follower for follower in followers[node_id] if follower not in seen]
            below += [(follower, depth + (len(fresh) > 1)) for follower in reversed(fresh)]

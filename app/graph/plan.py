"""A graph compiled for walking: small integers in place of names, a bit mask for a set of pins.

Made by `app.graph.compilation` when a version is saved, immutable. The names and constants are not in it: the
activities find them in the configuration that is kept beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from app.graph.signature import Lane

PLAN_FORMAT = 1
_NO_NAMES: list[Any] = ["", "", 0]
"""What stands at the end of most rows, left out there: label, title, loop pins."""


@dataclass(frozen=True, slots=True)
class Call:
    """How a remote call of a node is tried."""

    max_attempts: int
    initial_seconds: float
    backoff: float
    maximum_seconds: float
    timeout_seconds: float
    """Longest time one attempt may take."""
    is_at_most_once: bool
    """Whether an attempt of unknown outcome is not repeated."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a link leads."""

    position: int
    """The link's place in the graph's list: links fan out in this order."""
    node: int
    pin: int
    is_static: bool


@dataclass(frozen=True, slots=True)
class PlanNode:
    """A node as the scheduler sees it."""

    block: str
    """The activity type."""
    lane: Lane
    pool: str
    call: Call | None
    """Set for remote nodes only."""
    all_pins: int
    """Mask of the linked input pins: a firing waits for every one of them."""
    never_null: int
    """Mask of the linked pins that the block requires: a null there is no value."""
    static_pins: int
    """Mask of the linked pins that some static link feeds."""
    targets: tuple[tuple[Target, ...], ...]
    """By source number: where what is emitted there goes, in the graph's order."""
    error_source: int
    """Number of the source `error`, or -1 when no link starts there."""
    is_start: bool
    label: str
    """The node's id and title for Temporal's UI; empty for nodes that never appear there by name."""
    title: str
    loop_pins: int = 0
    """Mask of the linked pins that a firing takes all or none of."""

    def call_json(self) -> dict[str, Any]:
        """Return as JSON what is needed to call this node, links left out."""
        assert self.call is not None
        return {
            "block": self.block,
            "pool": self.pool,
            "call": astuple(self.call),
            "label": self.label,
            "title": self.title,
        }

    @classmethod
    def from_call_json(cls, document: Mapping[str, Any]) -> PlanNode:
        """Read that back: a node without links, for calls alone."""
        return cls(
            block=document["block"],
            lane=Lane.REMOTE,
            pool=document["pool"],
            call=Call(*document["call"]),
            all_pins=0,
            never_null=0,
            static_pins=0,
            targets=(),
            error_source=-1,
            is_start=False,
            label=document["label"],
            title=document["title"],
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled graph."""

    nodes: tuple[PlanNode, ...]


def plan_from_json(document: Mapping[str, Any]) -> Plan:
    """Read a compiled plan.

    Raises:
        ValueError: The document is of a format that this code does not read.
    """
    if document["v"] != PLAN_FORMAT:
        raise ValueError(f"Plan format {document['v']} is not {PLAN_FORMAT}")
    calls = [Call(*row) for row in document["calls"]]
    targets: list[list[list[Target]]] = [[[] for _ in range(row[5])] for row in document["nodes"]]
    flat = document["links"]
    for position in range(len(flat) // 5):
        source, source_number, sink, pin, is_static = flat[5 * position : 5 * position + 5]
        targets[source][source_number].append(Target(position, sink, pin, bool(is_static)))
    nodes = []
    for number, row in enumerate(document["nodes"]):
        block, call, pins, never_null, static_pins, _, error_source, is_start, *names = row
        name, lane, pool = document["blocks"][block]
        label, title, loop_pins = names + _NO_NAMES[len(names) :]
        nodes.append(
            PlanNode(
                block=name,
                lane=Lane(lane),
                pool=pool,
                call=calls[call] if call >= 0 else None,
                all_pins=(1 << pins) - 1,
                never_null=never_null,
                static_pins=static_pins,
                targets=tuple(tuple(of_source) for of_source in targets[number]),
                error_source=error_source,
                is_start=bool(is_start),
                label=label,
                title=title,
                loop_pins=loop_pins,
            )
        )
    return Plan(tuple(nodes))

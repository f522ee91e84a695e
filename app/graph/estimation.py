"""What an execution of a graph will cost, and how long it will take, going by prices, shape and earlier executions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from app.graph.analysis import Analysis
from app.graph.firing import FiringNode
from app.graph.signature import Kind, Lane

SECONDS_BY_LANE: Mapping[Lane, float] = {
    Lane.LOCAL: 0.001,
    Lane.REMOTE: 2.0,
    Lane.TIMER: 60.0,
    Lane.HOLD: 0.0,
}
"""How long a call takes of which nothing is recorded. How long somebody lets a hold wait, nobody knows."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one call of a node costs, in credits."""

    least: int = 0
    """What it costs at least, if it is made and does not fail."""
    usual: int = 0
    most: int | None = 0
    """None where it goes by what is used."""
    seconds: float | None = None
    """How long it takes, where that is known of it itself: of a nested graph."""
    is_nested: bool = False
    """Whether it is that of a nested graph, whose node costs nothing itself."""

    @property
    def is_paid(self) -> bool:
        """Answer whether it may cost anything."""
        return self.most != 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """What earlier executions say of a node."""

    firings: float
    """How often it has ended in one execution, on average."""
    seconds: float | None
    """Median of how long it took; None when that was never measured."""
    credits: float
    """What one node execution of it has cost, on average."""


@dataclass(frozen=True, slots=True)
class History:
    """What earlier executions of a version say."""

    executions: int = 0
    """How many there are that have completed, of the last ones."""
    seconds: float | None = None
    """Median of how long they took."""
    nodes: Mapping[str, Recorded] = field(default_factory=dict)


class WarningCode(StrEnum):
    """Why an estimate may be wrong."""

    UNBOUNDED = "UNBOUNDED"
    COST_BY_USE = "COST_BY_USE"
    NO_HISTORY = "NO_HISTORY"
    WAITS_FOR_SOMEBODY = "WAITS_FOR_SOMEBODY"


@dataclass(frozen=True, slots=True)
class EstimateWarning:
    """A reason why an estimate may be wrong."""

    code: WarningCode
    message: str
    node_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeEstimate:
    """What is expected of one node, over all its firings."""

    least: int
    expected: float
    most: int | None
    seconds: float
    """How long the firings that follow one another take."""
    firings: float
    is_unbounded: bool
    """Whether nothing in the graph bounds how often it fires."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is expected of an execution."""

    nodes: Mapping[str, NodeEstimate]
    critical_path: Sequence[str]
    critical_path_seconds: float
    seconds: float
    warnings: Sequence[EstimateWarning]

    @property
    def least(self) -> int:
        """Return what a completed execution costs at least."""
        return sum(node.least for node in self.nodes.values())

    @property
    def expected(self) -> int:
        """Return what an execution probably costs, in whole credits."""
        return math.ceil(sum(node.expected for node in self.nodes.values()))

    @property
    def most(self) -> int | None:
        """Return what an execution costs at most; None when nothing bounds that."""
        known = [node.most for node in self.nodes.values() if node.most is not None]
        return sum(known) if len(known) == len(self.nodes) else None


def estimate(
    analysis: Analysis, prices: Mapping[str, Price], history: History, *, at_once: int, limit: int
) -> Estimate:
    """Estimate one execution of a graph.

    Args:
        analysis: Of the graph.
        prices: What a call costs, by node id; what is left out is free.
        history: What earlier executions of the same version say.
        at_once: How many remote calls of an execution run at the same time, at most.
        limit: After how many node executions it fails.
    """
    graph = analysis.graph
    most = graph.most_firings(analysis.condensed, analysis.fires)
    usual = _expected_firings(analysis, history)
    in_loops = {node_id for loop in analysis.loops for node_id in loop.node_ids}
    nodes: dict[str, NodeEstimate] = {}
    for number, node in enumerate(graph.nodes):
        node_id = node.node.id
        if node.block.kind is Kind.NOTE:
            continue
        price = prices.get(node_id, Price())
        rounds = usual[number] if node_id in in_loops else math.ceil(usual[number] / at_once)
        nodes[node_id] = NodeEstimate(
            least=price.least if _is_certain(analysis, number) else 0,
            expected=usual[number] * _usual_price(price, history.nodes.get(node_id)),
            most=_most_credits(price, most[number]),
            seconds=rounds * _usual_seconds(node, price, history.nodes.get(node_id)),
            firings=min(usual[number], float(limit)),
            is_unbounded=most[number] is None,
        )
    path, seconds = analysis.critical_path({node_id: each.seconds for node_id, each in nodes.items()})
    warnings = _warn(analysis, nodes, prices, history)
    return Estimate(nodes, path, seconds, seconds if history.seconds is None else history.seconds, warnings)


def _expected_firings(analysis: Analysis, history: History) -> list[float]:
    """Return how often nodes fire: as they did before, else as if everything came once."""
    if not history.executions:
        return [float(fires) for fires in analysis.fires]
    nodes = (history.nodes.get(node.node.id) for node in analysis.graph.nodes)
    return [0.0 if recorded is None else recorded.firings for recorded in nodes]


def _is_certain(analysis: Analysis, number: int) -> bool:
    """Answer whether a node fires in every execution: it begins it. Of others nobody knows what they are given."""
    return analysis.graph.nodes[number].is_start


def _usual_price(price: Price, recorded: Recorded | None) -> float:
    goes_by_use = price.most is None and not price.is_nested
    return recorded.credits if goes_by_use and recorded is not None else price.usual


def _most_credits(price: Price, firings: int | None) -> int | None:
    if not price.is_paid or firings == 0:
        return 0
    return None if price.most is None or firings is None else price.most * firings


def _usual_seconds(node: FiringNode, price: Price, recorded: Recorded | None) -> float:
    if recorded is not None and recorded.seconds is not None:
        return recorded.seconds
    return SECONDS_BY_LANE[node.block.lane] if price.seconds is None else price.seconds


def _warn(
    analysis: Analysis, nodes: Mapping[str, NodeEstimate], prices: Mapping[str, Price], history: History
) -> list[EstimateWarning]:
    warnings = []
    by_use = [node_id for node_id in nodes if node_id in prices and prices[node_id].most is None]
    if by_use:
        message = "What a call of these costs is known only when it has ended"
        warnings.append(EstimateWarning(WarningCode.COST_BY_USE, message, tuple(by_use)))
    unbounded = [
        node_id for node_id, node in nodes.items() if node.is_unbounded and _is_paid(prices.get(node_id))
    ]
    if unbounded:
        message = "How often these are called depends on what they are given: give the execution a budget"
        warnings.append(EstimateWarning(WarningCode.UNBOUNDED, message, tuple(unbounded)))
    waiting = [
        each.node.id
        for number, each in enumerate(analysis.graph.nodes)
        if each.block.lane is Lane.HOLD and each.block.kind is not Kind.NESTED and analysis.fires[number]
    ]
    if waiting:
        message = "How long people take to answer is not counted"
        warnings.append(EstimateWarning(WarningCode.WAITS_FOR_SOMEBODY, message, tuple(waiting)))
    if not history.executions:
        message = "No execution of this version has completed yet: times and numbers of calls are guesses"
        warnings.append(EstimateWarning(WarningCode.NO_HISTORY, message))
    return warnings


def _is_paid(price: Price | None) -> bool:
    return price is not None and price.is_paid

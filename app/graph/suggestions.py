"""What its author could do better, going by the shape of a graph and by which of its nodes cost something."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from app.graph.analysis import Analysis

MANY_NODES = 50
DEEP = 10


class SuggestionCode(StrEnum):
    """What a suggestion is about."""

    SPLIT_INTO_SUB_GRAPHS = "SPLIT_INTO_SUB_GRAPHS"
    ADD_PARALLEL_BRANCHES = "ADD_PARALLEL_BRANCHES"
    BOTTLENECK = "BOTTLENECK"
    NEVER_FIRES = "NEVER_FIRES"
    LOOP_WITHOUT_EXIT = "LOOP_WITHOUT_EXIT"
    PAID_IN_LOOP = "PAID_IN_LOOP"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One thing that could be better."""

    code: SuggestionCode
    message: str
    node_ids: tuple[str, ...] = ()


def suggest(analysis: Analysis, *, paid: Collection[str]) -> list[Suggestion]:
    """Return what could be better about a graph.

    Args:
        analysis: Of the graph.
        paid: Ids of the nodes whose calls cost credits.
    """
    return [*_about_size(analysis), *_about_ways(analysis), *_about_loops(analysis, paid)]


def _about_size(analysis: Analysis) -> list[Suggestion]:
    found = []
    count = len(analysis.graph.nodes)
    if count > MANY_NODES:
        message = f"The graph has {count} nodes: split it into graphs that execute one another"
        found.append(Suggestion(SuggestionCode.SPLIT_INTO_SUB_GRAPHS, message))
    if analysis.max_depth > DEEP:
        message = (
            f"{analysis.max_depth} nodes wait for one another: what does not need the result of another node "
        )
        message += "can run in a branch beside it"
        found.append(Suggestion(SuggestionCode.ADD_PARALLEL_BRANCHES, message))
    return found


def _about_ways(analysis: Analysis) -> list[Suggestion]:
    found = []
    bottlenecks = tuple(each.node_id for each in analysis.find_bottlenecks())
    if bottlenecks:
        message = "Everything goes through these nodes: nothing else runs while one of them does"
        found.append(Suggestion(SuggestionCode.BOTTLENECK, message, bottlenecks))
    never = tuple(analysis.never_firing)
    if never:
        message = "These nodes never run: an input of theirs waits for a value that cannot come"
        found.append(Suggestion(SuggestionCode.NEVER_FIRES, message, never))
    return found


def _about_loops(analysis: Analysis, paid: Collection[str]) -> list[Suggestion]:
    found = []
    for loop in analysis.loops:
        if not loop.has_exit:
            message = "No link leads out of this loop: nothing comes of what it does"
            found.append(Suggestion(SuggestionCode.LOOP_WITHOUT_EXIT, message, loop.node_ids))
        costly = tuple(node_id for node_id in loop.node_ids if node_id in paid)
        if costly:
            message = "These nodes cost credits each time round a loop: give executions a budget"
            found.append(Suggestion(SuggestionCode.PAID_IN_LOOP, message, costly))
    return found

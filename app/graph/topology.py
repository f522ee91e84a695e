"""Which nodes follow which, as numbers: loops folded into components, and those in the order in which they can run.

It knows nothing of blocks. All of it takes time in proportion to nodes and links.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Neighbours: TypeAlias = Sequence[Sequence[int]]
"""By node: the nodes that it leads to, each once."""


@dataclass(frozen=True, slots=True)
class Component:
    """Nodes that can all reach one another: a loop, or one node by itself."""

    nodes: tuple[int, ...]
    is_loop: bool


@dataclass(frozen=True, slots=True)
class Condensed:
    """A graph whose loops are folded, which has none any more."""

    components: tuple[Component, ...]
    """Each after all that lead to it."""
    after: tuple[tuple[int, ...], ...]
    """By component: those that it leads to, each once."""

    def levels(self) -> list[int]:
        """Return by component on how many others it waits, one after the other, at most."""
        levels = [0] * len(self.components)
        for number, following in enumerate(self.after):
            for other in following:
                levels[other] = max(levels[other], levels[number] + 1)
        return levels

    def heaviest_path(self, weights: Sequence[float]) -> list[int]:
        """Return the components of a path that no other outweighs; empty for an empty graph.

        Args:
            weights: By component; none below 0.
        """
        if not self.components:
            return []
        before: list[int | None] = [None] * len(self.components)
        best = [0.0] * len(self.components)
        for number, following in enumerate(self.after):
            best[number] += weights[number]
            for other in following:
                if before[other] is None or best[number] > best[other]:
                    best[other], before[other] = best[number], number
        last: int | None = max(range(len(best)), key=best.__getitem__)
        path: list[int] = []
        while last is not None:
            path.append(last)
            last = before[last]
        return path[::-1]


def condense(after: Neighbours) -> Condensed:
    """Fold the loops of a graph."""
    found = _find_components(after)[::-1]
    place = [0] * len(after)
    for number, nodes in enumerate(found):
        for node in nodes:
            place[node] = number
    components, following = [], []
    for number, nodes in enumerate(found):
        others = {place[other]: None for node in nodes for other in after[node]}
        is_loop = number in others
        others.pop(number, None)
        components.append(Component(tuple(sorted(nodes)), is_loop))
        following.append(tuple(others))
    return Condensed(tuple(components), tuple(following))


def _find_components(after: Neighbours) -> list[list[int]]:
    """Return the strongly connected components, each after all that it leads to (Tarjan, without recursion)."""
    order = [0] * len(after)
    """When a node was met, from 1; 0 before."""
    lowest = [0] * len(after)
    is_open = [False] * len(after)
    opened: list[int] = []
    components: list[list[int]] = []
    met = 0
    for start in range(len(after)):
        if order[start]:
            continue
        walk = [(start, iter(after[start]))]
        met += 1
        order[start] = lowest[start] = met
        opened.append(start)
        is_open[start] = True
        while walk:
            node, rest = walk[-1]
            following = next(rest, None)
            if following is None:
                walk.pop()
                if walk:
                    above = walk[-1][0]
                    lowest[above] = min(lowest[above], lowest[node])
                if lowest[node] == order[node]:
                    components.append(_close(node, opened, is_open))
            elif not order[following]:
                met += 1
                order[following] = lowest[following] = met
                opened.append(following)
                is_open[following] = True
                walk.append((following, iter(after[following])))
            elif is_open[following]:
                lowest[node] = min(lowest[node], order[following])
    return components


def _close(node: int, opened: list[int], is_open: list[bool]) -> list[int]:
    """Take a component off the open nodes: all from one node on."""
    at = len(opened) - 1
    while opened[at] != node:
        at -= 1
    component = opened[at:]
    del opened[at:]
    for member in component:
        is_open[member] = False
    return component


def find_cuts(after: Neighbours, starts: Collection[int], ends: Collection[int]) -> list[int]:
    """Return the nodes that lie on every way from the starts to the ends, the first one first.

    One way is taken. A node of it is on every other way too, unless some way around it is found from what comes before.
    """
    source, goal = len(after), len(after) + 1
    last = set(ends)
    joined = [[*following, goal] if node in last else following for node, following in enumerate(after)]
    joined += [list(starts), []]
    path = _find_path(joined, source, goal)
    place = {node: at for at, node in enumerate(path)}
    cuts: list[int] = []
    seen: set[int] = set()
    furthest = 0
    for at, node in enumerate(path):
        if furthest <= at:
            cuts.append(node)
        furthest = max(furthest, _find_return(joined, node, place, seen))
    return cuts[1:-1]


def _find_return(after: Neighbours, start: int, place: Mapping[int, int], seen: set[int]) -> int:
    """Return how far along a path one comes back to it that is left at some node.

    Args:
        after: The graph.
        start: A node of the path.
        place: Where on the path its nodes stand.
        seen: What lies beside the path and was walked through before; it is not walked through again.
    """
    furthest, todo = 0, [start]
    while todo:
        for other in after[todo.pop()]:
            if other in place:
                furthest = max(furthest, place[other])
            elif other not in seen:
                seen.add(other)
                todo.append(other)
    return furthest


def _find_path(after: Neighbours, source: int, goal: int) -> list[int]:
    """Return a shortest way from one node to another; empty when there is none."""
    before = {source: source}
    level = [source]
    while level and goal not in before:
        following = [(other, node) for node in level for other in after[node] if other not in before]
        for other, node in following:
            before.setdefault(other, node)
        level = list(dict.fromkeys(other for other, _ in following))
    if goal not in before:
        return []
    path = [goal]
    while path[-1] != source:
        path.append(before[path[-1]])
    return path[::-1]

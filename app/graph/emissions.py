"""What node executions have emitted and links have not seen yet.

The firings of one node are released in the order they were dispatched, whatever order they end in. A very long list of
emissions comes folded, and holds up what follows it until it has been unfolded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.graph.envelope import Envelope, size_of

Emission: TypeAlias = list[Any]
"""What one yield of a block gives to links: `[[source number, envelope], …]`, or a folded list of such."""

FOLDED = -1
"""`[[FOLDED, reference]]` stands for the emissions in a stored list, which are released once it has been unfolded."""

UNFOLDED_AT_MOST = 256
UNFOLDED_BYTES = 48 * 1024
"""A node execution that emits more often, or more in all, sends the rest on as folded lists."""
FOLD_LENGTH = 1_000
FOLD_BYTES = 128 * 1024
"""Emissions in one folded list at most, and what they come to."""


def split(emissions: Sequence[Emission]) -> tuple[Sequence[Emission], list[Sequence[Emission]]]:
    """Return what travels of emissions as it is, and the rest in lists to be folded."""
    end = _end_of_piece(emissions, 0, length=UNFOLDED_AT_MOST, size=UNFOLDED_BYTES)
    first, lists = emissions[:end], []
    while end < len(emissions):
        start, end = end, _end_of_piece(emissions, end, length=FOLD_LENGTH, size=FOLD_BYTES)
        lists.append(emissions[start:end])
    return first, lists


def _end_of_piece(emissions: Sequence[Emission], start: int, *, length: int, size: int) -> int:
    """Return where a piece ends that has one emission at least."""
    position = start
    while position < min(len(emissions), start + length):
        size -= size_of_emission(emissions[position])
        if size < 0 and position > start:
            break
        position += 1
    return position


def size_of_emission(emission: Emission) -> int:
    """Return the bytes that an emission takes in JSON, roughly."""
    return 2 + sum(12 + size_of(envelope) for _, envelope in emission)


@dataclass(frozen=True, slots=True)
class Folded:
    """A stored list of emissions that is next to be released."""

    node: int
    n: int
    envelope: Envelope


@dataclass(slots=True)
class _Unreleased:
    """What a dispatched firing has emitted and links have not seen yet."""

    emissions: list[Emission]
    is_closed: bool = False


class Unreleased:
    """Holds emissions back until it is their turn."""

    def __init__(self) -> None:
        self._by_firing: dict[tuple[int, int], _Unreleased] = {}
        self._released: dict[int, int] = {}
        self._folded: dict[int, int] = {}

    def open(self, node: int, n: int) -> None:
        """Take that a firing was dispatched."""
        self._by_firing[node, n] = _Unreleased([])

    def add(self, node: int, n: int, emissions: Iterable[Emission]) -> None:
        """Take what a firing has emitted.

        Raises:
            KeyError: It was never dispatched, or has been released whole.
        """
        self._by_firing[node, n].emissions.extend(emissions)

    def close(self, node: int, n: int) -> None:
        """Take that a firing emits nothing more."""
        self._by_firing[node, n].is_closed = True

    def unfold(self, node: int, n: int, emissions: Iterable[Emission]) -> None:
        """Put the emissions of a folded list in its place.

        Raises:
            KeyError: That firing has no folded list that is next to be released.
        """
        if self._folded.get(node) != n:
            raise KeyError(node)
        del self._folded[node]
        self._by_firing[node, n].emissions[:1] = emissions

    def release(self, node: int) -> Iterator[Emission]:
        """Give what the oldest firing of a node has emitted, and go on to the next when it has ended."""
        n = self._released.get(node, 0) + 1
        while held := self._by_firing.get((node, n)):
            emissions, held.emissions = held.emissions, []
            for position, emission in enumerate(emissions):
                if emission[0][0] == FOLDED:
                    held.emissions = emissions[position:]
                    self._folded[node] = n
                    return
                yield emission
            if not held.is_closed:
                return
            del self._by_firing[node, n]
            self._released[node] = n
            n += 1

    @property
    def folded_nodes(self) -> Collection[int]:
        """Return the nodes that a folded list holds up."""
        return self._folded.keys()

    def next_folded(self) -> Folded:
        """Return the folded list that has waited longest.

        Raises:
            StopIteration: There is none.
        """
        node, n = next(iter(self._folded.items()))
        return Folded(node, n, self._by_firing[node, n].emissions[0][0][1])

    def dump(self, nodes: Collection[int] | None) -> dict[str, Any]:
        """Return the state of some nodes, or of all, as JSON; folded lists that are next first, as they have waited."""
        places = {key: place for place, key in enumerate(self._folded.items())}
        last = len(places)
        return {
            "unreleased": [
                [node, n, held.emissions, held.is_closed]
                for (node, n), held in sorted(
                    self._by_firing.items(), key=lambda item: (places.get(item[0], last), item[0])
                )
                if nodes is None or node in nodes
            ],
            "released": [
                [node, n] for node, n in sorted(self._released.items()) if nodes is None or node in nodes
            ],
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Take over a state."""
        self._released = dict(dumped["released"])
        for node, n, emissions, is_closed in dumped["unreleased"]:
            self._by_firing[node, n] = _Unreleased(list(emissions), is_closed)
            is_next = n == self._released.get(node, 0) + 1
            if is_next and emissions and emissions[0][0][0] == FOLDED:
                self._folded[node] = n

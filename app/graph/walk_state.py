"""How far a walk has come: what waits for inputs, what is ready, what runs, what is left over.

It decides nothing. It can be written down as JSON between any two steps of the walk, and read again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

from app.graph.conversations import Conversations, Key
from app.graph.emissions import Unreleased
from app.graph.pairing import Inputs, Waiting
from app.graph.plan import Plan
from app.graph.ready import Turns
from app.graph.signature import Lane

SNAPSHOT_FORMAT = 1
WAVE_LIMIT = 2_000
"""Ready node executions that one wave is given at most."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a node execution failed, or the walk as a whole."""

    node: int | None
    code: str
    message: str


class WalkState:
    """What is known of one walk of a plan."""

    def __init__(self, plan: Plan, *, max_node_executions: int) -> None:
        """Make the state of a walk that has not begun.

        Args:
            plan: What to walk.
            max_node_executions: How many node executions there may be before the walk is given up.
        """
        self._nodes = plan.nodes
        self._limit = max_node_executions
        self._counts: dict[int, int] = {}
        self._waiting: dict[int, Waiting] = {}
        self._last: dict[int, Inputs] = {}
        self._unreleased = Unreleased()
        self._in_wave: OrderedDict[tuple[int, int], Inputs] = OrderedDict()
        self._remote = Turns()
        self._running: set[tuple[int, int]] = set()
        self._conversations = Conversations()
        self._reserved: Collection[Key] = ()
        self.dispatched = 0
        """Node executions so far."""
        self.settled = 0
        """Node executions that have ended."""
        self.failure: Failure | None = None
        """The first failure that no link handles."""
        self.is_exhausted = False
        """Whether the walk was given up at the limit."""

    # -- what is known

    @property
    def is_finished(self) -> bool:
        """Answer whether nothing runs and nothing more can start."""
        is_idle = not (self._in_wave or self._remote or self._unreleased.folded_nodes)
        return not self._running and (self.is_exhausted or is_idle)

    @property
    def running_count(self) -> int:
        """Return how many node executions have started and not ended."""
        return len(self._running)

    @property
    def has_wave(self) -> bool:
        """Answer whether something is ready that a wave carries."""
        return bool(self._in_wave) and not self.is_exhausted

    @property
    def has_remote(self) -> bool:
        """Answer whether a remote node execution is ready."""
        return bool(self._remote) and not self.is_exhausted

    @property
    def remote_count(self) -> int:
        """Return how many remote node executions are ready."""
        return 0 if self.is_exhausted else len(self._remote)

    @property
    def has_folded(self) -> bool:
        """Answer whether a stored list of emissions is to be unfolded."""
        return bool(self._unreleased.folded_nodes) and not self.is_exhausted

    @property
    def has_conversations(self) -> bool:
        """Answer whether a node execution has called others and has not ended."""
        return bool(self._conversations)

    def caller_of(self, node: int, n: int) -> Key | None:
        """Return which node execution has called another that has not ended; None when links alone have begun it."""
        return self._conversations.caller_of((node, n))

    # -- what is left over

    def list_starved(self) -> list[tuple[int, int]]:
        """Return (node, firings left without all their inputs) of each node that has any."""
        return sorted(
            (number, len(waiting.slots)) for number, waiting in self._waiting.items() if waiting.slots
        )

    def list_unreached(self) -> list[int]:
        """Return the nodes that never fired and wait for nothing."""
        return [
            number
            for number in range(len(self._nodes))
            if number not in self._counts and not (number in self._waiting and self._waiting[number].slots)
        ]

    # -- written down, and read again

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as JSON."""
        return {
            **self._part(None, fed=()),
            **self._conversations.dump(),
            "in_wave": _dump_ready(self._in_wave),
            "remote": self._remote.dump(),
            "last": _dump_inputs(self._last),
        }

    def wave_snapshot(self, *, waking: Sequence[int] = (), limit: int = WAVE_LIMIT) -> dict[str, Any]:
        """Return the part of the state that a wave can reach, as JSON.

        Remote nodes that are fed from it belong to it as far as values are paired and node executions counted there:
        so a wave comes to the limit exactly where the walk as a whole does.

        Args:
            waking: Nodes that wait and are about to emit; what follows them belongs to the wave too.
            limit: How many of the ready node executions the wave gets, oldest first.
        """
        ready = OrderedDict(islice(self._in_wave.items(), limit))
        reach = self._reach([*(node for node, _ in ready), *waking, *self._unreleased.folded_nodes])
        fed = {target.node for node in reach for targets in self._nodes[node].targets for target in targets}
        last = {node: inputs for node, inputs in self._last.items() if node in reach or node in fed}
        part = {
            **self._part(reach, fed=fed),
            **self._conversations.dump_part(reach),
            "in_wave": _dump_ready(ready),
        }
        return {**part, "remote": [], "last": _dump_inputs(last)}

    def _reach(self, origins: Iterable[int]) -> set[int]:
        reach = set(origins)
        stack = list(reach)
        while stack:
            for targets in self._nodes[stack.pop()].targets:
                for target in targets:
                    if target.node not in reach and self._nodes[target.node].lane is not Lane.REMOTE:
                        reach.add(target.node)
                        stack.append(target.node)
        return reach

    def _part(self, reach: Collection[int] | None, *, fed: Collection[int]) -> dict[str, Any]:
        def is_in(node: int) -> bool:
            return reach is None or node in reach

        def takes_values(node: int) -> bool:
            return is_in(node) or node in fed

        return {
            "v": SNAPSHOT_FORMAT,
            "dispatched": self.dispatched,
            "settled": self.settled,
            "exhausted": self.is_exhausted,
            "failure": [self.failure.node, self.failure.code, self.failure.message] if self.failure else None,
            "counts": [[node, count] for node, count in sorted(self._counts.items()) if takes_values(node)],
            "slots": [
                [node, waiting.dump()]
                for node, waiting in sorted(self._waiting.items())
                if waiting.slots and takes_values(node)
            ],
            **self._unreleased.dump(reach),
            "running": sorted([node, n] for node, n in self._running if is_in(node)),
        }

    @classmethod
    def restore(cls, plan: Plan, snapshot: dict[str, Any], *, max_node_executions: int) -> Self:
        """Return one that goes on where the snapshot was taken.

        Raises:
            ValueError: The snapshot is of a format that this code does not read.
        """
        if snapshot["v"] != SNAPSHOT_FORMAT:
            raise ValueError(f"Snapshot format {snapshot['v']} is not {SNAPSHOT_FORMAT}")
        state = cls(plan, max_node_executions=max_node_executions)
        state.dispatched = snapshot["dispatched"]
        state.settled = snapshot["settled"]
        state.is_exhausted = snapshot["exhausted"]
        state.failure = Failure(*snapshot["failure"]) if snapshot["failure"] else None
        state._counts = dict(snapshot["counts"])
        state._waiting = {node: Waiting.load(slots) for node, slots in snapshot["slots"]}
        state._last = {node: dict(pairs) for node, pairs in snapshot["last"]}
        state._unreleased.load(snapshot)
        state._in_wave = OrderedDict(((node, n), dict(pairs)) for node, n, pairs in snapshot["in_wave"])
        state._remote.load(snapshot["remote"])
        state._running = {(node, n) for node, n in snapshot["running"]}
        state._conversations.load(snapshot)
        return state


def _dump_ready(ready: dict[tuple[int, int], Inputs]) -> list[Any]:
    return [[node, n, list(inputs.items())] for (node, n), inputs in ready.items()]


def _dump_inputs(inputs_by_node: dict[int, Inputs]) -> list[Any]:
    return [[node, list(inputs.items())] for node, inputs in sorted(inputs_by_node.items())]

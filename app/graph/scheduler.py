"""Decides which node executions may start, with which inputs, and when the graph is finished.

Fed with what node executions emit; performs nothing itself. Pairing is first-in first-out per pin, static links are
filled in from the last firing, and what the firings of one node emit is released in the order they were dispatched.
It moves envelopes without opening them, holds no coroutine, and can be snapshotted between any two calls.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from app.graph.conversations import Conversations, Key, Turn
from app.graph.emissions import Emission, Folded, Unreleased
from app.graph.envelope import Envelope, make_inline
from app.graph.pairing import Inputs, Slot, Waiting, fill, is_complete, static_part
from app.graph.plan import Plan, PlanNode
from app.graph.ready import Turns
from app.graph.signature import Lane

SNAPSHOT_FORMAT = 1
WAVE_LIMIT = 2_000
"""Ready node executions that one wave is given at most."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A node execution that may start."""

    node: int
    n: int
    """1 for the first firing of this node."""
    inputs: Inputs
    turn: Turn | None = None
    """Set when it goes on after calls that it made."""
    caller: Key | None = None
    """(node, n) of the node execution that has called it; None when links alone have begun it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a node execution failed, or the walk as a whole."""

    node: int | None
    code: str
    message: str


class Scheduler:
    """Walks one plan."""

    def __init__(self, plan: Plan, *, max_node_executions: int) -> None:
        """Make a scheduler at rest.

        Args:
            plan: What to walk.
            max_node_executions: How many node executions there may be before the walk is given up.
        """
        self._nodes = plan.nodes
        self._plan = plan
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

    # -- what may start

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

    def start(self) -> None:
        """Dispatch the nodes that need no value to begin."""
        for number, node in enumerate(self._nodes):
            if node.is_start:
                self._dispatch(number, node, {})

    def take_remote(self) -> Firing | None:
        """Start the next remote node execution: nodes take turns, so a large fan-out does not hold up the others."""
        if not self.has_remote:
            return None
        return self._started(*self._remote.take())

    def _started(self, node: int, n: int, inputs: Inputs) -> Firing:
        key = (node, n)
        self._running.add(key)
        conversations = self._conversations
        return Firing(node, n, inputs, conversations.turn_of(key), conversations.caller_of(key))

    def put_back(self, firing: Firing) -> None:
        """Make a remote node execution ready again that was started and came back undone."""
        self._running.discard((firing.node, firing.n))
        self._remote.put_back(firing.node, firing.n, firing.inputs)

    def give_back(self, firings: Iterable[Firing]) -> None:
        """Make node executions ready again that were started and not carried out, behind those that are ready."""
        for firing in firings:
            key = (firing.node, firing.n)
            self._running.discard(key)
            if self._nodes[firing.node].lane is Lane.REMOTE:
                self._remote.put(firing.node, firing.n, firing.inputs)
            else:
                self._in_wave[key] = firing.inputs

    def take_in_wave(self) -> Firing | None:
        """Start the node execution that has been ready longest among those that a wave carries."""
        if not self.has_wave:
            return None
        (node, n), inputs = self._in_wave.popitem(last=False)
        return self._started(node, n, inputs)

    def next_folded(self) -> Folded | None:
        """Return the stored list of emissions that has waited longest, or None."""
        return self._unreleased.next_folded() if self.has_folded else None

    def take(self, node: int, n: int) -> Firing | None:
        """Start one particular node execution of a wave; None when it is not ready."""
        if (node, n) not in self._in_wave:
            return None
        return self._started(node, n, self._in_wave.pop((node, n)))

    # -- what is called

    @property
    def has_conversations(self) -> bool:
        """Answer whether a node execution has called others and has not ended."""
        return bool(self._conversations)

    def caller_of(self, node: int, n: int) -> Key | None:
        """Return which node execution has called another that has not ended; None when links alone have begun it."""
        return self._conversations.caller_of((node, n))

    def call(self, firing: Firing, calls: Iterable[tuple[int, Inputs]]) -> None:
        """Take that a running node execution calls others, and goes on when all of them have ended.

        What is called starts with what it is given, and with what a firing that lacks that has besides. What it emits
        goes to the caller alone, and so does its failure.

        Args:
            firing: The caller.
            calls: Node and given inputs of each, one call at least.

        Raises:
            KeyError: The caller is not running.
        """
        caller = (firing.node, firing.n)
        self._running.remove(caller)
        self._conversations.begin_calls(caller, firing.inputs)
        for number, given in calls:
            self._call(caller, number, given)

    def _call(self, caller: Key, number: int, inputs: Inputs) -> None:
        node = self._nodes[number]
        waiting = self._waiting.setdefault(number, Waiting())
        serial, slot = waiting.oldest_without_any(inputs)
        fill(slot, inputs)
        fill(slot, self._last.get(number, {}))
        self._accept(number, node, serial, slot, caller=caller)

    # -- what has happened

    def emit(self, node: int, n: int, emissions: Iterable[Emission]) -> None:
        """Take what a node execution emitted while it goes on."""
        if self._conversations.caller_of((node, n)):
            return
        self._unreleased.add(node, n, emissions)
        self._release(node)

    def settle(self, node: int, n: int, emissions: Iterable[Emission]) -> None:
        """Take what a node execution emitted last; it has ended.

        Raises:
            KeyError: It was never dispatched, or has ended before.
        """
        key = (node, n)
        if self._conversations.caller_of(key):
            self._end_called(key)
            return
        self._unreleased.add(node, n, emissions)
        self._unreleased.close(node, n)
        self._running.discard(key)
        self._conversations.forget(key)
        self.settled += 1
        self._release(node)

    def _end_called(self, called: Key) -> None:
        """Take that a node execution has ended that another one has called: nothing of it is released to links."""
        self._running.discard(called)
        self._conversations.forget(called)
        self.settled += 1
        next_turn = self._conversations.end(called)
        if next_turn is not None:
            caller, inputs = next_turn
            self._remote.put(*caller, inputs)

    def fail(self, node: int, n: int, emissions: Iterable[Emission], *, code: str, message: str) -> None:
        """Take that a node execution failed after emitting that much.

        The message goes out on the `error` pin when a link starts there; else it is kept as an unhandled failure.
        """
        if self._conversations.caller_of((node, n)):
            self.settle(node, n, ())
            return
        error_source = self._nodes[node].error_source
        if error_source >= 0:
            self.settle(node, n, [*emissions, [[error_source, make_inline(message)]]])
            return
        self.failure = self.failure or Failure(node, code, message)
        self.settle(node, n, emissions)

    def unfold(self, node: int, n: int, emissions: Iterable[Emission]) -> None:
        """Put the emissions of a folded list in its place.

        Raises:
            KeyError: That firing has no folded list that is next to be released.
        """
        self._unreleased.unfold(node, n, emissions)
        self._release(node)

    def _release(self, node: int) -> None:
        for emission in self._unreleased.release(node):
            self._fan_out(node, emission)

    def _fan_out(self, node: int, emission: Emission) -> None:
        by_source = self._nodes[node].targets
        if len(emission) == 1:
            source, envelope = emission[0]
            for target in by_source[source]:
                self._deliver(target.node, target.pin, envelope, is_static=target.is_static)
            return
        ordered = sorted(
            ((target, envelope) for source, envelope in emission for target in by_source[source]),
            key=lambda pair: pair[0].position,
        )
        for target, envelope in ordered:
            self._deliver(target.node, target.pin, envelope, is_static=target.is_static)

    def _deliver(self, number: int, pin: int, envelope: Envelope, *, is_static: bool) -> None:
        """Give a value to the oldest firing that lacks this pin, or begin a new one."""
        node = self._nodes[number]
        waiting = self._waiting.get(number)
        if waiting is None:
            waiting = self._waiting[number] = Waiting()
        serial, slot = waiting.oldest_without(pin)
        slot.inputs[pin] = envelope
        slot.filled |= 1 << pin
        if number in self._last:
            fill(slot, self._last[number])
        if is_complete(node, slot):
            self._accept(number, node, serial, slot)
            if is_static:
                self._accept_waiting(number, node)

    def _accept(
        self, number: int, node: PlanNode, serial: int, slot: Slot, *, caller: Key | None = None
    ) -> None:
        del self._waiting[number].slots[serial]
        if node.static_pins:
            self._last[number] = static_part(node, slot.inputs)
        self._dispatch(number, node, slot.inputs, caller=caller)

    def _accept_waiting(self, number: int, node: PlanNode) -> None:
        """Fill the static pins of the firings that wait, now that a static value has come."""
        for serial, slot in list(self._waiting[number].slots.items()):
            fill(slot, self._last.get(number, {}))
            if is_complete(node, slot):
                self._accept(number, node, serial, slot)

    def _dispatch(self, number: int, node: PlanNode, inputs: Inputs, *, caller: Key | None = None) -> None:
        if self.dispatched >= self._limit:
            self.is_exhausted = True
            return
        self.dispatched += 1
        n = self._next_n(number)
        self._counts[number] = n
        self._unreleased.open(number, n)
        if caller is not None:
            # Others of its node are not to wait for it: it releases nothing.
            self._conversations.add(caller, (number, n))
            self._unreleased.close(number, n)
            self._release(number)
        if node.lane is Lane.REMOTE:
            self._remote.put(number, n, inputs)
        else:
            self._in_wave[number, n] = inputs

    # -- numbers that are taken

    def reserve(self, keys: Collection[Key]) -> None:
        """Number no firing so, since the record has others of these numbers."""
        self._reserved = keys

    def pass_over(self, node: int, n: int) -> None:
        """Number no firing of a node up to this one any more."""
        for number in range(self._counts.get(node, 0) + 1, n + 1):
            self._unreleased.open(node, number)
            self._unreleased.close(node, number)
        self._counts[node] = max(n, self._counts.get(node, 0))
        self._release(node)

    def _next_n(self, node: int) -> int:
        n = self._counts.get(node, 0) + 1
        while (node, n) in self._reserved:
            self._unreleased.open(node, n)
            self._unreleased.close(node, n)
            n += 1
        return n

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

    # -- snapshots

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
    def restore(cls, plan: Plan, snapshot: dict[str, Any], *, max_node_executions: int) -> Scheduler:
        """Return a scheduler that goes on where the snapshot was taken.

        Raises:
            ValueError: The snapshot is of a format that this code does not read.
        """
        if snapshot["v"] != SNAPSHOT_FORMAT:
            raise ValueError(f"Snapshot format {snapshot['v']} is not {SNAPSHOT_FORMAT}")
        scheduler = cls(plan, max_node_executions=max_node_executions)
        scheduler.dispatched = snapshot["dispatched"]
        scheduler.settled = snapshot["settled"]
        scheduler.is_exhausted = snapshot["exhausted"]
        scheduler.failure = Failure(*snapshot["failure"]) if snapshot["failure"] else None
        scheduler._counts = dict(snapshot["counts"])
        scheduler._waiting = {node: Waiting.load(slots) for node, slots in snapshot["slots"]}
        scheduler._last = {node: dict(pairs) for node, pairs in snapshot["last"]}
        scheduler._unreleased.load(snapshot)
        scheduler._in_wave = OrderedDict(((node, n), dict(pairs)) for node, n, pairs in snapshot["in_wave"])
        scheduler._remote.load(snapshot["remote"])
        scheduler._running = {(node, n) for node, n in snapshot["running"]}
        scheduler._conversations.load(snapshot)
        return scheduler


def _dump_ready(ready: dict[tuple[int, int], Inputs]) -> list[Any]:
    return [[node, n, list(inputs.items())] for (node, n), inputs in ready.items()]


def _dump_inputs(inputs_by_node: dict[int, Inputs]) -> list[Any]:
    return [[node, list(inputs.items())] for node, inputs in sorted(inputs_by_node.items())]

"""Decides which node executions may start, with which inputs, and when the graph is finished.

Fed with what node executions emit; performs nothing itself. Pairing is first-in first-out per pin, static links are
filled in from the last firing, and what the firings of one node emit is released in the order they were dispatched.
It moves envelopes without opening them, holds no coroutine, and can be snapshotted between any two calls: all that it
remembers is in `walk_state`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from app.graph.conversations import Key, Turn
from app.graph.emissions import Emission, Folded
from app.graph.envelope import Envelope, make_inline
from app.graph.pairing import Inputs, Slot, Waiting, fill, is_complete, static_part
from app.graph.plan import PlanNode
from app.graph.signature import Lane
from app.graph.walk_state import Failure, WalkState


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


class Scheduler(WalkState):
    """Walks one plan."""

    # -- what may start

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

"""What a rerun takes over: a fresh scheduler is fed with what another execution has recorded, as far as that goes.

What the walk asks for and the record has is settled with the recorded outputs; whatever else is ready stays ready, to
be executed. What really happens and the dry run both use it. It does not know where records and values are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.graph.changes import Version, find_downstream, targets_of, text_of
from app.graph.emissions import FOLDED, Emission, split
from app.graph.envelope import INLINE_LIMIT_BYTES, Envelope, is_reference, make_inline, make_reference
from app.graph.pins import select
from app.graph.scheduler import Firing, Scheduler
from app.graph.status import Status

Key: TypeAlias = tuple[int, int]
"""(node, n)"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A node execution as it is recorded."""

    node: int
    """The node's number in the version that is walked now."""
    n: int
    status: Status
    inputs: Mapping[str, Envelope]
    """By pin name, constants among them."""
    outputs: Sequence[Sequence[Any]]
    """`[[pin, envelope], …]` in the order they were emitted."""

    @property
    def key(self) -> Key:
        """Return which firing it was."""
        return self.node, self.n


class Reuse:
    """Feeds a fresh scheduler. No firing is settled or started twice."""

    def __init__(
        self,
        version: Version,
        *,
        cone: Collection[int],
        is_strict: bool,
        max_node_executions: int,
        wrap: Callable[[Any], Envelope],
    ) -> None:
        """Make one at rest.

        Args:
            version: What is walked.
            cone: The nodes that are executed again whatever is recorded of them.
            is_strict: Whether a record counts only if it was given what the walk gives now.
            max_node_executions: How many node executions there may be before the walk is given up.
            wrap: Makes the envelope of a part that a link picks from a value.
        """
        self._version = version
        self._cone = cone
        self._is_strict = is_strict
        self._wrap = wrap
        self._scheduler = Scheduler(version.plan, max_node_executions=max_node_executions)
        self._ready: dict[Key, Firing] = {}
        self._late: set[Key] = set()
        self._due: list[Key] = []
        self._lists: dict[int, tuple[int, list[Emission]]] = {}
        self._lists_made = 0
        self.reused: Counter[int] = Counter()
        """How many node executions of each node are taken over."""
        self._called: set[Key] = set()

    def begin(self, *, reserved: Collection[Key] = ()) -> None:
        """Dispatch the nodes that need no value to begin.

        Args:
            reserved: Numbers that the record has given to what was called as a tool: no firing is numbered so.
        """
        self._scheduler.reserve(reserved)
        self._scheduler.start()
        self._gather()

    def take_called(self, key: Key) -> None:
        """Take that a node execution is taken over with the one that had called it."""
        self._called.add(key)
        self.reused[key[0]] += 1

    def wants(self, recorded: Recorded) -> bool:
        """Answer whether a record may be taken over: it ended well, or with a failure that the graph handles."""
        if recorded.node in self._cone:
            return False
        if recorded.status is Status.FAILED:
            return self._version.plan.nodes[recorded.node].error_source >= 0
        return recorded.status in (Status.COMPLETED, Status.SKIPPED)

    def list_picked_from(self, recorded: Recorded) -> Iterator[Envelope]:
        """Return the envelopes to be opened before the record is offered: links pick parts of what is in them."""
        node = self._version.nodes[recorded.node]
        for pin, envelope in recorded.outputs:
            if is_reference(envelope) and any(node.sources[k] != pin for k in node.routes.get(pin, ())):
                yield envelope

    def offer(self, recorded: Recorded, values: Mapping[str, Any]) -> bool:
        """Take a record over if the walk asks for it.

        Args:
            recorded: In the order in which node executions ended.
            values: By hash, at least what `list_picked_from` names.

        Returns:
            Whether it was taken over. One that the walk does not ask for yet may become due later.
        """
        key = recorded.key
        if not self.wants(recorded):
            return False
        while key not in self._ready and self._scheduler.has_folded:
            self._unfold()
        firing = self._ready.get(key)
        if firing is None:
            self._late.add(key)
            return False
        self._late.discard(key)
        if self._is_strict and not self._was_given(recorded, firing):
            return False
        del self._ready[key]
        emissions = self._emissions_of(recorded, values)
        self._scheduler.settle(*key, self._fold(recorded.node, emissions))
        self.reused[recorded.node] += 1
        self._gather()
        return True

    def take_due(self) -> list[Key]:
        """Return, once, which records were offered too early and are asked for now."""
        due, self._due = self._due, []
        return due

    @property
    def may_run(self) -> set[int]:
        """Return the nodes that are to be executed, and those that values from them can reach."""
        folded = (
            number for node, _ in self._lists.values() for number in targets_of(self._version.plan, node)
        )
        return find_downstream(self._version.plan, {*(node for node, _ in self._ready), *folded})

    def snapshot(self, store: Callable[[list[Emission]], Envelope]) -> dict[str, Any]:
        """Return the scheduler's state, to go on from. Nothing can be offered afterwards.

        Args:
            store: Stores a list of emissions, and returns the reference to it.
        """
        for node, n in sorted(self._called):
            self._scheduler.pass_over(node, n)
        self._scheduler.give_back(self._ready.values())
        snapshot = self._scheduler.snapshot()
        snapshot["unreleased"] = [
            [node, n, [self._stored(emission, store) for emission in emissions], is_closed]
            for node, n, emissions, is_closed in snapshot["unreleased"]
        ]
        return snapshot

    def _stored(self, emission: Emission, store: Callable[[list[Emission]], Envelope]) -> Emission:
        if emission[0][0] != FOLDED:
            return emission
        _, emissions = self._lists[emission[0][1][0]]
        return [[FOLDED, store(emissions)]]

    def _gather(self) -> None:
        while firing := self._scheduler.take_remote() or self._scheduler.take_in_wave():
            key = (firing.node, firing.n)
            self._ready[key] = firing
            if key in self._late:
                self._due.append(key)

    def _was_given(self, recorded: Recorded, firing: Firing) -> bool:
        pins = self._version.nodes[recorded.node].pins
        return all(
            (given := recorded.inputs.get(pins[number])) is not None and is_same(given, envelope)
            for number, envelope in firing.inputs.items()
        )

    # -- emissions

    def _emissions_of(self, recorded: Recorded, values: Mapping[str, Any]) -> list[Emission]:
        """Return what the record gives to the links of the version that is walked now."""
        node = self._version.nodes[recorded.node]
        emissions: list[Emission] = []
        for pin, envelope in recorded.outputs:
            emission: Emission = []
            for number in node.routes.get(pin, ()):
                name = node.sources[number]
                if name == pin:
                    emission.append([number, envelope])
                    continue
                value = values[envelope[0]] if is_reference(envelope) else envelope[0]
                is_sent, picked = select(value, name, pin)
                if is_sent:
                    emission.append([number, self._wrap(picked)])
            if emission:
                emissions.append(emission)
        return emissions

    def _fold(self, node: int, emissions: list[Emission]) -> list[Emission]:
        """Have the rest of very many emissions wait in folded lists until something in it is asked for."""
        first, lists = split(emissions)
        folded = list(first)
        for items in lists:
            self._lists_made += 1
            self._lists[self._lists_made] = (node, list(items))
            folded.append([[FOLDED, [self._lists_made]]])
        return folded

    def _unfold(self) -> None:
        folded = self._scheduler.next_folded()
        assert folded is not None
        _, emissions = self._lists.pop(folded.envelope[0])
        self._scheduler.unfold(folded.node, folded.n, emissions)
        self._gather()


def is_same(one: Envelope, other: Envelope) -> bool:
    """Answer whether two envelopes carry the same value, inline or not."""
    if is_reference(one) or is_reference(other):
        return _hash_of(one) == _hash_of(other)
    # The order of keys is lost on the way through a workflow.
    return text_of(one[0]) == text_of(other[0])


def wrap_unstored(value: Any) -> Envelope:
    """Return the envelope of a value as if it were stored. For a walk that nothing comes of."""
    text = _text_of(value).encode("ascii")
    if len(text) <= INLINE_LIMIT_BYTES:
        return make_inline(value)
    return make_reference(hashlib.sha256(text).hexdigest(), len(text))


def _hash_of(envelope: Envelope) -> str:
    if is_reference(envelope):
        return str(envelope[0])
    return hashlib.sha256(_text_of(envelope[0]).encode("ascii")).hexdigest()


def _text_of(value: Any) -> str:
    # With the keys in their order: it is the text that names stored values.
    return json.dumps(value, separators=(",", ":"))

"""Walks versions of a graph, records what ends, and takes records over."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from random import Random
from typing import Any

from app.graph.changes import Version
from app.graph.emissions import Emission
from app.graph.envelope import make_inline, make_reference
from app.graph.reuse import Key, Recorded, Reuse, wrap_unstored
from app.graph.scheduler import Firing, Scheduler
from app.graph.status import Status
from tests.unit.graph.test_scheduler_properties import LIMIT
from tests.unit.graph.walking import Fails, Sketch


def break_down(_: dict[str, Any]) -> list[tuple[str, Any]]:
    raise Fails


class Walker:
    """Walks a version with the nodes' behaviours and records each node execution when it ends."""

    def __init__(
        self, sketch: Sketch, random: Random | None = None, *, broken: Collection[tuple[str, int]] = ()
    ) -> None:
        self.sketch = sketch
        self.version = sketch.version()
        self._random = random
        self._broken = broken
        """(node id, n) of firings that fail although their nodes would not."""

    def from_the_start(self, limit: int = LIMIT) -> tuple[Scheduler, list[Recorded]]:
        scheduler = Scheduler(self.version.plan, max_node_executions=limit)
        scheduler.start()
        return scheduler, self.go_on(scheduler)

    def go_on(self, scheduler: Scheduler) -> list[Recorded]:
        recorded: list[Recorded] = []
        running: list[Firing] = []
        while True:
            while firing := scheduler.take_remote() or scheduler.take_in_wave():
                running.append(firing)
                if self._random is not None and self._random.random() < 0.5:
                    break
            if not running:
                return recorded
            firing = running.pop(self._random.randrange(len(running)) if self._random else 0)
            recorded.append(self._end(scheduler, firing))

    def _end(self, scheduler: Scheduler, firing: Firing) -> Recorded:
        node = self.version.nodes[firing.node]
        inputs = {node.pins[pin]: envelope for pin, envelope in firing.inputs.items()}
        data = {**node.input_default, **{pin: envelope[0] for pin, envelope in inputs.items()}}
        status = Status.COMPLETED
        outputs: list[list[Any]] = []
        try:
            behaviour = break_down if (node.id, firing.n) in self._broken else self.sketch.behaviours[node.id]
            outputs = [[pin, make_inline(value)] for pin, value in behaviour(data)]
        except Fails as failure:
            status = Status.FAILED
            outputs = [[pin, make_inline(value)] for pin, value in failure.emitted]
            self._settle(scheduler, firing, outputs, str(failure))
            outputs.append(["error", make_inline(str(failure))])
        else:
            self._settle(scheduler, firing, outputs, None)
        return Recorded(firing.node, firing.n, status, inputs, outputs)

    def _settle(
        self, scheduler: Scheduler, firing: Firing, outputs: list[list[Any]], error: str | None
    ) -> None:
        sources = self.version.nodes[firing.node].sources
        emissions: list[Emission] = [
            [[number, envelope] for number, source in enumerate(sources) if source == pin]
            for pin, envelope in outputs
            if pin in sources
        ]
        if error is None:
            scheduler.settle(firing.node, firing.n, emissions)
        else:
            scheduler.fail(firing.node, firing.n, emissions, code="BLOCK_FAILED", message=error)


def reuse_of(version: Version, *, cone: Collection[int] = (), is_strict: bool = False) -> Reuse:
    reuse = Reuse(version, cone=cone, is_strict=is_strict, max_node_executions=LIMIT, wrap=wrap_unstored)
    reuse.begin()
    return reuse


def feed(reuse: Reuse, recorded: list[Recorded]) -> list[Recorded]:
    """Offer records in their order, and those again that were too early; return those taken over."""
    by_key = {row.key: row for row in recorded}
    taken = []
    for row in recorded:
        if reuse.offer(row, {}):
            taken.append(row)
        while due := reuse.take_due():
            taken += [by_key[key] for key in due if reuse.offer(by_key[key], {})]
    return taken


def go_on(walker: Walker, reuse: Reuse) -> tuple[Scheduler, list[Recorded]]:
    """Execute what was not taken over."""
    stored: dict[str, list[Emission]] = {}

    def store(emissions: list[Emission]) -> list[Any]:
        stored[str(len(stored))] = emissions
        return make_reference(str(len(stored) - 1), 1)

    state = json.loads(json.dumps(reuse.snapshot(store)))
    scheduler = Scheduler.restore(walker.version.plan, state, max_node_executions=LIMIT)
    ran = walker.go_on(scheduler)
    while folded := scheduler.next_folded():
        scheduler.unfold(folded.node, folded.n, stored[folded.envelope[0]])
        ran += walker.go_on(scheduler)
    return scheduler, ran


def bag(recorded: list[Recorded]) -> Counter[str]:
    return Counter(
        json.dumps([row.node, row.n, row.status, row.inputs, row.outputs], sort_keys=True) for row in recorded
    )


def keys(recorded: list[Recorded]) -> list[Key]:
    return sorted(row.key for row in recorded)


def ids(version: Version, numbers: Collection[int]) -> set[str]:
    return {version.nodes[number].id for number in numbers}

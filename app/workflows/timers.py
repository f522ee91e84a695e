"""The timers that node executions wait on. They outlive a workflow run: what is left of them goes on in the next."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.waves import Ring
    from app.graph.pairing import Inputs
    from app.graph.scheduler import Firing


TITLE_LIMIT = 120
MAX_RINGS = 50
"""A wave carries out so many at once: each may emit tens of kilobytes."""


@dataclass(slots=True)
class _Running:
    """A timer under way."""

    firing: Firing
    title: str
    seconds: float
    """Of each round."""
    rounds: int
    next_round: int
    due: datetime
    """When the next round is over."""


class Timers:
    """The timers of one execution, and those that have gone off."""

    def __init__(self) -> None:
        self.rings: list[Ring] = []
        """To be carried out."""
        self._running: dict[tuple[int, int], _Running] = {}
        self._tasks: dict[tuple[int, int], asyncio.Task[None]] = {}

    def start(self, firing: Firing, *, title: str, seconds: float, rounds: int) -> None:
        """Start the timer of a node execution."""
        due = workflow.now() + timedelta(seconds=seconds)
        self._go_on(_Running(firing, title[:TITLE_LIMIT], seconds, rounds, 1, due))

    def _go_on(self, running: _Running) -> None:
        key = running.firing.node, running.firing.n
        self._running[key] = running
        self._tasks[key] = asyncio.create_task(self._time(running))

    async def _time(self, running: _Running) -> None:
        firing = running.firing
        while running.next_round <= running.rounds:
            left = max(running.due - workflow.now(), timedelta(0))
            await workflow.sleep(left, summary=running.title)
            is_last = running.next_round == running.rounds
            inputs = list(firing.inputs.items())
            self.rings.append(Ring(firing.node, firing.n, inputs, running.next_round, is_last))
            running.next_round += 1
            running.due = workflow.now() + timedelta(seconds=running.seconds)

    def take_rings(self) -> list[Ring]:
        """Return what has gone off, once; of very much the first part."""
        rings, self.rings = self.rings[:MAX_RINGS], self.rings[MAX_RINGS:]
        return rings

    def forget(self, node: int, n: int) -> None:
        """Take that a node execution has ended."""
        if task := self._tasks.pop((node, n), None):
            del self._running[node, n]
            task.cancel()

    def cancel(self) -> None:
        """Stop all of them."""
        for task in self._tasks.values():
            task.cancel()

    def dump(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {
            "running": [
                [
                    running.firing.node,
                    running.firing.n,
                    list(running.firing.inputs.items()),
                    running.title,
                    running.seconds,
                    running.rounds,
                    running.next_round,
                    running.due.isoformat(),
                ]
                for running in self._running.values()
                if running.next_round <= running.rounds
            ],
            "rings": [[ring.node, ring.n, ring.inputs, ring.round, ring.is_last] for ring in self.rings],
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Go on from a state."""
        for node, n, pairs, title, seconds, rounds, next_round, due in dumped["running"]:
            inputs: Inputs = dict(pairs)
            moment = datetime.fromisoformat(due)
            self._go_on(_Running(Firing(node, n, inputs), title, seconds, rounds, next_round, moment))
        self.rings += [Ring(*ring) for ring in dumped["rings"]]

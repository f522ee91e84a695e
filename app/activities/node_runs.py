"""One node execution as its activity sees it: what it was given, what it emitted, and the record of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from app.activities.plans import LoadedNode
from app.activities.values import TOTAL_INLINE_LIMIT_BYTES, Shelf
from app.errors import MESSAGE_LIMIT
from app.graph.emissions import FOLDED, Emission, split
from app.graph.envelope import INLINE_LIMIT_BYTES, Envelope, is_reference, make_inline
from app.graph.status import TERMINAL, Status
from app.llm.metering import Meter
from app.models.changes import Changes, EventRecord, NodeRecord
from app.models.event_types import OF_NODE
from app.models.value_uses import hashes_of

ERROR_PIN = "error"

T = TypeVar("T")


def node_execution_id(execution_id: str, node: int, n: int) -> uuid.UUID:
    """Return the id of a node execution: the same for every attempt."""
    return uuid.uuid5(_namespace_of(execution_id), f"{node}#{n}")


_namespace_of = lru_cache(maxsize=1_000)(uuid.UUID)


def dump(value: Any) -> str:
    """Return JSON text as the tables keep it: plain ASCII, so that any character survives."""
    return _encode(value)


# An encoder of one's own is made once; `json.dumps` makes one for every call.
_encode = json.JSONEncoder(separators=(",", ":")).encode


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Give a sequence in pieces of a size, the last one perhaps smaller."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


@dataclass(slots=True)
class NodeRun:
    """Collects what one node execution emits."""

    execution_id: str
    number: int
    n: int
    node: LoadedNode
    given: dict[str, Envelope]
    """Linked values and run inputs by pin."""
    shelf: Shelf
    called_by: tuple[int, int] | None = None
    """(node, n) of the node execution that has called it as a tool: what it emits is for that one alone."""
    attempt: int = 1
    cost: int = 0
    meter: Meter = field(default_factory=Meter)
    """Counts what language models use, over all attempts."""
    outputs: list[list[Any]] = field(default_factory=list)
    """`[[pin, envelope], …]`"""
    emissions: list[Emission] = field(default_factory=list)
    _inline_bytes: int = 0

    def emit(self, pin: str, value: Any) -> None:
        """Take a JSON value that the block emitted.

        Raises:
            ValueTooLarge: It is beyond what is stored.
        """
        envelope = self._wrap(value)
        self.outputs.append([pin, envelope])
        self.route(pin, value, envelope)

    async def pass_on(self, pin: str, envelope: Envelope) -> None:
        """Take a value of the same owner in its envelope. A stored one is loaded only if a link selects a part of it.

        Raises:
            ValueMissing: It has to be loaded and is not stored any more.
        """
        if not is_reference(envelope):
            self.emit(pin, envelope[0])
            return
        is_selected = any(route.name != pin for route in self.node.routes.get(pin, ()))
        value = (await self.shelf.open({pin: envelope}))[pin] if is_selected else None
        self.outputs.append([pin, envelope])
        self.route(pin, value, envelope)

    def route(self, pin: str, value: Any, envelope: Envelope) -> None:
        """Send a value on to the links that start at its pin."""
        routes = self.node.routes.get(pin)
        if not routes or self.called_by:
            return
        emission: Emission = []
        for route in routes:
            is_sent, picked = route.pick(pin, value)
            if is_sent:
                emission.append([route.number, envelope if picked is value else self._wrap(picked)])
        if emission:
            self.emissions.append(emission)

    def forget(self, hashes: Collection[str]) -> None:
        """Refer no more to linked values that are not stored: the record shows null in their place."""
        for pin, envelope in self.given.items():
            if is_reference(envelope) and envelope[0] in hashes:
                self.given[pin] = make_inline(None)

    def fold(self) -> list[Emission]:
        """Return the emissions as they travel: of very many the first ones, then stored lists.

        So neither a result nor the state of a workflow grows with what a block emits.
        """
        first, lists = split(self.emissions)
        return [*first, *([[FOLDED, self.shelf.store(emissions)]] for emissions in lists)]

    def _wrap(self, value: Any) -> Envelope:
        left = min(INLINE_LIMIT_BYTES, TOTAL_INLINE_LIMIT_BYTES - self._inline_bytes)
        envelope, size = self.shelf.wrap(value, inline_left=left)
        self._inline_bytes += size
        return envelope

    def write(
        self,
        changes: Changes,
        status: Status,
        *,
        started_at: datetime | None,
        ended_at: datetime | None = None,
        error: tuple[str, str] | None = None,
    ) -> None:
        """Add the row as it now stands, and the event that tells of it, to a transaction.

        Args:
            changes: What the transaction writes.
            status: Where the node execution stands.
            started_at: When this attempt began.
            ended_at: When it ended.
            error: Code and message of a failure.
        """
        usage = self.meter.as_json()
        failure = {"code": error[0], "message": error[1][:MESSAGE_LIMIT]} if error else None
        outputs = self.outputs
        if failure and status is Status.FAILED:
            outputs = [*outputs, [ERROR_PIN, make_inline(failure["message"])]]
        changes.uses |= hashes_of(self.given.values())
        changes.uses |= hashes_of(envelope for _, envelope in outputs)
        changes.add_node(
            NodeRecord(
                id=self.id,
                node=self.number,
                node_id=self.node.id,
                block_id=self.node.block_id,
                n=self.n,
                status=status,
                inputs=dump({**self.node.constants, **self.given}),
                outputs=dump(outputs),
                error=dump(failure) if failure else None,
                attempt=self.attempt,
                cost=self.cost,
                usage=dump(usage) if usage else None,
                called_by=self._caller,
                started_at=started_at,
                ended_at=ended_at,
            )
        )
        changes.events.append(self._event(status, failure))

    @property
    def id(self) -> uuid.UUID:
        """Return the id of the node execution."""
        return node_execution_id(self.execution_id, self.number, self.n)

    @property
    def _caller(self) -> uuid.UUID | None:
        return node_execution_id(self.execution_id, *self.called_by) if self.called_by else None

    def _event(self, status: Status, failure: dict[str, str] | None) -> EventRecord:
        data: dict[str, Any] = {
            "node_id": self.node.id,
            "node_execution_id": str(self.id),
            "n": self.n,
            "attempt": self.attempt,
            "status": status,
        }
        if caller := self._caller:
            data["called_by"] = str(caller)
        if failure:
            data["error"] = failure
        attempt = "" if status in TERMINAL else f":{self.attempt}"
        return EventRecord(f"{self.number}#{self.n}:{status}{attempt}", OF_NODE[status], dump(data))

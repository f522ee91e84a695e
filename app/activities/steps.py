"""Durable steps: pieces of work within a node execution that are done once, however often it is attempted.

A worker that dies between a step's work and its record makes it be done again, as every remote block.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from app.activities.node_runs import dump
from app.activities.outages import wait_out
from app.activities.values import Shelf, ValueCache
from app.graph.envelope import is_reference
from app.json_values import Json, to_json
from app.llm.metering import Meter
from app.models import recording, steps
from app.models.changes import Changes
from app.models.value_uses import hashes_of


class UnkeptSteps:
    """Steps of a block on its own: there is one attempt, and nobody to keep them for."""

    async def do(self, name: str, work: Callable[[], Awaitable[Any]]) -> Json:
        """Return what the work gives."""
        return to_json(await work())


class NodeSteps:
    """The steps of one node execution."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        values: ValueCache,
        execution_id: str,
        place: tuple[int, int],
        *,
        owner: str,
        is_first_attempt: bool,
        meter: Meter,
    ) -> None:
        """Take where the steps are kept; nothing is read yet.

        Args:
            pool: The database.
            values: The values met so far.
            execution_id: Whose node it is.
            place: Node and n.
            owner: Whose the execution is.
            is_first_attempt: Whether no attempt has come before, so that no step can be done.
            meter: Counts what is used, also what an earlier attempt used for a step that is not done again.
        """
        self._pool = pool
        self._shelf = Shelf(owner, values)
        self._execution_id = execution_id
        self._place = place
        self._owner = owner
        self._meter = meter
        self._done: dict[str, Json] | None = {} if is_first_attempt else None

    async def do(self, name: str, work: Callable[[], Awaitable[Any]]) -> Json:
        """Return what a step gives, doing it only if no attempt has done it.

        Args:
            name: Of the step; another one for every piece of work of the node execution.
            work: Does it, and returns something that JSON can hold.

        Raises:
            ValueMissing: It is done, and what it gave is not stored any more.
            ValueTooLarge: What it gives is beyond what is stored.
            BlockError: As the work raises it. Then it is not done.
        """
        done = self._done if self._done is not None else await wait_out(self._load)
        if name not in done:
            before = self._meter.copy()
            done[name] = to_json(await work())
            await wait_out(lambda: self._write(name, done[name], self._meter.since(before)))
        return done[name]

    async def _load(self) -> dict[str, Json]:
        records = await steps.list_steps(self._pool, self._execution_id, self._place, owner=self._owner)
        results = await self._shelf.open({record.name: record.result for record in records})
        used = Meter()
        for record in records:
            used.include(record.usage)
        self._meter.raise_to(used.as_json())
        self._done = results
        return results

    async def _write(self, name: str, result: Json, usage: dict[str, Any] | None) -> None:
        envelope, _ = self._shelf.wrap(result)
        # Before a connection is taken: it takes one itself.
        changes = Changes(values=await self._shelf.stow(), uses=hashes_of([envelope]))
        has_value = is_reference(envelope)
        # Together, so that nobody finds a step without its value.
        async with self._pool.acquire() as connection, connection.transaction():
            if has_value:
                await recording.record(connection, self._execution_id, changes, owner=self._owner)
            await steps.insert_step(
                connection,
                self._execution_id,
                self._place,
                owner=self._owner,
                name=name,
                result=dump(envelope),
                usage=dump(usage) if usage else None,
            )
        if has_value:
            # Not before it is certain: what is thought to be written is not written by the next try.
            self._shelf.note_written(changes.values)

"""Turns: the attempts of a block that calls tools. What it goes on with is gathered, and what it calls is written down.

The workflow makes the calls, and has the next turn taken when all of them have ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.activities.contracts.node_calls import NodeResult
from app.activities.node_attempts import Attempt
from app.activities.outages import wait_out
from app.activities.plans import LoadedNode, LoadedPlan
from app.activities.values import Shelf
from app.blocks.holds import NestedGraphBlock
from app.blocks.tools import Call, Callee, Calls, Conversation, ToolResult, make_tools
from app.graph.conversations import Turn
from app.graph.envelope import Envelope
from app.graph.nesting import read_ref
from app.graph.status import Status
from app.graph.tools import is_tool_pin
from app.json_values import to_json
from app.models import conversations, nested_executions, recording
from app.models.conversations import CalledRecord, TurnRecord
from app.models.spending import Spend

CANCELLED = "It was stopped"


class TurnAttempt(Attempt):
    """One attempt at one turn."""

    _plan: LoadedPlan
    _turn: Turn | None = None
    _end_of_turn: TurnRecord | None = None

    def go_on(self, plan: LoadedPlan, turn: Turn | None) -> None:
        """Take the plan, and where the conversation stands.

        Args:
            plan: Where the tools are.
            turn: What was called in the turn before; None for the first turn.
        """
        self._plan = plan
        self._turn = turn
        self._charging.spend = Spend(self.run.id, self._number)

    @property
    def _number(self) -> int:
        return self._turn.number if self._turn else 1

    async def find_recorded(self) -> NodeResult | None:
        """Return what an earlier attempt has recorded: the calls of this turn, or the end of the node execution.

        Raises:
            ApplicationError: As for any attempt.
        """
        for record in await self._list_turns():
            if record.turn == self._number:
                return _result_of(record)
        return await super().find_recorded()

    async def _list_turns(self) -> list[TurnRecord]:
        key = (self.run.number, self.run.n)
        return await conversations.list_turns(self._pool, self.run.execution_id, key, owner=self._owner)

    async def _run_block(self, given: Any) -> None:
        conversation = await wait_out(self._gather)
        key = self._context.idempotency_key
        if self._number > 1:
            # What was answered in the turn before is not to be answered again.
            key = f"{key}:{self._number}"
        self._context = replace(self._context, conversation=conversation, idempotency_key=key)
        await super()._run_block(given)

    def _take(self, pin: str, value: Any) -> None:
        if isinstance(value, Calls):
            # Here, where what cannot be written down is a failure of the block.
            self._end_of_turn = self._record_of(value)
            return
        super()._take(pin, value)

    async def _end(self) -> NodeResult:
        record = self._end_of_turn
        if record is None:
            return await super()._end()
        await self._record(Status.RUNNING, turn=record, cost=self._charging.count_open())
        return _result_of(record)

    # -- what it goes on with

    async def _gather(self) -> Conversation:
        tools = make_tools(await self._list_callees())
        if self._turn is None:
            return Conversation(tools)
        await self._count_earlier_turns()
        turns = [record for record in await self._list_turns() if record.turn < self._number]
        opened = await self.run.shelf.open({str(record.turn): record.messages for record in turns})
        return Conversation(
            tools,
            self._number,
            tuple(message for record in turns for message in opened[str(record.turn)]),
            await self._results(self._turn, [call_id for call_id, *_ in turns[-1].calls]),
        )

    async def _count_earlier_turns(self) -> None:
        run = self.run
        async with self._pool.acquire() as connection:
            found = await recording.find_node_record(
                connection, run.execution_id, run.number, n=run.n, owner=self._owner
            )
        if found is not None:
            run.meter.raise_to(found.usage)
            run.cost = found.cost

    async def _results(self, turn: Turn, call_ids: Sequence[str]) -> tuple[ToolResult, ...]:
        called = await conversations.list_called(
            self._pool, self.run.execution_id, turn.called, owner=self._owner
        )
        return tuple(
            [
                await _open_result(self.run.shelf, call_id, called.get(key))
                for call_id, key in zip(call_ids, turn.called, strict=True)
            ]
        )

    async def _list_callees(self) -> list[Callee]:
        pins: dict[int, list[str]] = {}
        planned = self._plan.plan.nodes[self.run.number]
        for routes in self.run.node.routes.values():
            for route in routes:
                for target in planned.targets[route.number] if is_tool_pin(route.name) else ():
                    of_node = pins.setdefault(target.node, [])
                    of_node.append(self._plan.nodes[target.node].pins[target.pin])
        return [
            await self._callee(self._plan.nodes[number], list(dict.fromkeys(names)))
            for number, names in pins.items()
        ]

    async def _callee(self, node: LoadedNode, pins: Sequence[str]) -> Callee:
        callee = Callee(node.id, node.block, node.input_default, pins, title=node.title)
        if not isinstance(node.block, NestedGraphBlock):
            return callee
        ref = read_ref(node.input_default)
        found = ref and await nested_executions.find_face(
            self._pool, self._owner, ref.graph_id, version=ref.version
        )
        if not found:
            return callee
        return replace(
            callee, name=found.name, description=found.description, input_schema=found.input_schema
        )

    # -- what it calls

    def _record_of(self, calls: Calls) -> TurnRecord:
        numbers = {node.id: number for number, node in enumerate(self._plan.nodes)}
        made = [
            [call.id, numbers[call.node_id], self._inputs_of(numbers[call.node_id], call)]
            for call in calls.calls
        ]
        messages, _ = self.run.shelf.wrap([to_json(message) for message in calls.messages])
        return TurnRecord(self.run.number, self.run.n, self._number, messages, made)

    def _inputs_of(self, number: int, call: Call) -> list[tuple[int, Envelope]]:
        pins = self._plan.nodes[number].pins
        return [
            (pins.index(pin), self.run.shelf.wrap(to_json(value))[0]) for pin, value in call.values.items()
        ]


def _result_of(record: TurnRecord) -> NodeResult:
    return NodeResult([], [[node, inputs] for _, node, inputs in record.calls])


async def _open_result(shelf: Shelf, call_id: str, record: CalledRecord | None) -> ToolResult:
    if record is None:
        return ToolResult(call_id, (), error=CANCELLED)
    opened = await shelf.open({str(at): envelope for at, (_, envelope) in enumerate(record.outputs)})
    outputs = [(pin, opened[str(at)]) for at, (pin, _) in enumerate(record.outputs) if pin != "error"]
    if record.status in (Status.COMPLETED, Status.SKIPPED):
        return ToolResult(call_id, outputs)
    return ToolResult(call_id, outputs, error=str((record.error or {}).get("message") or CANCELLED))

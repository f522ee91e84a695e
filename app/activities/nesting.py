"""Node executions that are executions of another graph: begun with its inputs, ended with its outputs.

The workflow starts and stops the nested execution. Here it is decided what it is started with and what its end means.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import asyncpg

from app.activities.contracts.execution import ExecutionStart
from app.activities.contracts.messages import Release
from app.activities.contracts.node_calls import UNPAID
from app.activities.contracts.waves import Step, WaveRequest
from app.activities.engine import new_execution
from app.activities.failures import NestedCancelled, NestedFailed, NestedGraphMissing, NestedTooDeep
from app.activities.node_runs import NodeRun
from app.activities.origins import Origins
from app.activities.plans import PlanCache
from app.activities.settling import Settling
from app.blocks.base import BlockInput, Emitted
from app.blocks.holds import NestedGraphBlock
from app.errors import BlockInputInvalid
from app.graph.definition import GraphDefinition, definition_from_json
from app.graph.envelope import Envelope
from app.graph.interface import check_run_inputs
from app.graph.nesting import GraphRef, bind_run_inputs, read_ref
from app.graph.problems import NodeErrors
from app.graph.status import Status
from app.graph.validation import Signatures
from app.models import nested_executions
from app.models.changes import Changes
from app.models.execution_writes import list_results
from app.models.nested_executions import NestedEnd, NestedVersion, Parent

TRIGGER = "subgraph"
OUTPUT_PIN = "output"
"""What an output node makes of its value: formatted, if it says how."""
DEFINITIONS_KEPT = 64
_NAMED_PROBLEMS = 5


def nested_execution_id(execution_id: str, node: int, n: int) -> str:
    """Return the id of the execution that a node execution is: a wave that is computed again names the same one."""
    return str(uuid.uuid5(uuid.UUID(execution_id), f"{node}#{n}:{TRIGGER}"))


class NestedGraphs:
    """Begins and ends nested executions."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        origins: Origins,
        plans: PlanCache,
        settling: Settling,
        signatures: Signatures,
    ) -> None:
        """Take what all executions share in this process."""
        self._pool = pool
        self._origins = origins
        self._plans = plans
        self._settling = settling
        self._signatures = signatures
        self._definitions: OrderedDict[tuple[uuid.UUID, int], GraphDefinition] = OrderedDict()

    # -- the beginning

    async def begin(
        self, run: NodeRun, given: BlockInput, request: WaveRequest, changes: Changes
    ) -> list[Any]:
        """Write the nested execution down as queued; return the step that has it started.

        Raises:
            NestedTooDeep: It would be nested too deep.
            NestedGraphMissing: The owner has no such graph or version.
            BlockInputInvalid: The graph cannot be executed with these inputs.
        """
        if request.depth + 1 > request.limits.max_depth:
            raise NestedTooDeep(f"Graphs can be nested {request.limits.max_depth} deep; this is deeper")
        owner, wanted = request.execution.user_id, _call_of(given)
        ref = read_ref(wanted.model_dump(include={"graph_id", "graph_version"}))
        if ref is None:
            raise NestedGraphMissing
        nested_id = nested_execution_id(run.execution_id, run.number, run.n)
        parent = await nested_executions.find_parent(self._pool, owner, run.execution_id, nested_id=nested_id)
        if parent is None:
            raise NestedGraphMissing
        if parent.earlier is not None:
            # The active version may be another one by now; what was written down stays.
            ref = GraphRef(ref.graph_id, parent.earlier.graph_version)
        version = await nested_executions.find_version(self._pool, owner, ref.graph_id, version=ref.version)
        if version is None:
            raise NestedGraphMissing
        inputs = (
            parent.earlier.inputs
            if parent.earlier
            else await self._make_inputs(run, wanted.inputs, owner, GraphRef(ref.graph_id, version.version))
        )
        start = _make_start(run, request, ref.graph_id, version, parent, inputs)
        changes.nested.append(new_execution(nested_id, start))
        return [Step.NESTED, run.number, run.n, nested_id, asdict(start)]

    async def _make_inputs(
        self, run: NodeRun, constants: dict[str, Any], owner: str, ref: GraphRef
    ) -> Envelope:
        linked = await run.shelf.open(run.given)
        definition = await self._require_definition(owner, ref)
        inputs, problems = await asyncio.to_thread(
            _check_inputs, definition, self._signatures, constants, linked
        )
        if problems:
            raise BlockInputInvalid(_summary_of(problems))
        return run.shelf.wrap(inputs)[0]

    async def _require_definition(self, owner: str, ref: GraphRef) -> GraphDefinition:
        key = ref.graph_id, ref.version or 0
        if key not in self._definitions:
            document = await nested_executions.find_definition(self._pool, owner, key[0], version=key[1])
            if document is None:
                raise NestedGraphMissing
            self._definitions[key] = definition_from_json(document)
            if len(self._definitions) > DEFINITIONS_KEPT:
                self._definitions.popitem(last=False)
        self._definitions.move_to_end(key)
        return self._definitions[key]

    # -- the end

    async def end(
        self, run: NodeRun, given: BlockInput, release: Release, changes: Changes
    ) -> Sequence[Emitted] | None:
        """Emit what the nested execution gave, or return None when it has not ended.

        Raises:
            NestedFailed: It failed; what it gave before is emitted.
            NestedCancelled: It was stopped; as above.
        """
        owner = (await self._origins.require(run.execution_id)).user_id
        nested_id = nested_execution_id(run.execution_id, run.number, run.n)
        end = await self._find_end(owner, nested_id)
        if end is None:
            return None
        await self._emit(run, end, owner, nested_id)
        run.cost = end.cost
        if end.status is Status.CANCELLED:
            raise NestedCancelled
        if end.status is Status.FAILED:
            raise _failure_of(end)
        return ()

    async def _find_end(self, owner: str, nested_id: str) -> NestedEnd | None:
        end = await nested_executions.find_end(self._pool, owner, nested_id)
        if end is not None and not end.is_ended:
            # Temporal may have closed it behind its back. One that Temporal does not know is left to the reconciler.
            await self._settling.settle(nested_id, owner=owner, may_be_lost=False)
            end = await nested_executions.find_end(self._pool, owner, nested_id)
        return end if end is not None and end.is_ended else None

    async def _emit(self, run: NodeRun, end: NestedEnd, owner: str, nested_id: str) -> None:
        """Emit in the order in which the output nodes ended; of a graph without any, its run outputs by name."""
        plan = await self._plans.find(end.plan_hash)
        nodes = [] if plan is None else [number for number, node in enumerate(plan.nodes) if node.is_output]
        if plan is None or not nodes:
            for name, envelopes in end.outputs.items():
                for envelope in envelopes:
                    await run.pass_on(name, envelope)
            return
        async with self._pool.acquire() as connection:
            results = await list_results(connection, nested_id, nodes)
        for number, _, emitted in results:
            for pin, envelope in emitted:
                if pin == OUTPUT_PIN:
                    await run.pass_on(plan.nodes[number].output_name, envelope)

    async def remind(self, run: NodeRun, changes: Changes) -> None:
        """Do nothing: nobody is waited for."""


def _failure_of(end: NestedEnd) -> NestedFailed:
    error = end.error or {}
    message = error.get("message")
    failure = NestedFailed(f"The nested execution failed: {message}" if message else None)
    if error.get("code") in UNPAID:
        # Who pays for one pays for the other, so it is why this fails too.
        failure.code = error["code"]  # type: ignore[misc]  # of this one alone
    return failure


def _call_of(given: BlockInput) -> NestedGraphBlock.Input:
    if not isinstance(given, NestedGraphBlock.Input):
        raise TypeError(f"{type(given).__qualname__} names no graph")
    return given


def _check_inputs(
    graph: GraphDefinition, signatures: Signatures, constants: dict[str, Any], linked: dict[str, Any]
) -> tuple[dict[str, Any], NodeErrors]:
    inputs = bind_run_inputs(graph, signatures, constants, linked)
    return inputs, check_run_inputs(graph, signatures, inputs)


def _summary_of(problems: NodeErrors) -> str:
    messages = [message for fields in problems.values() for message in fields.values()]
    more = len(messages) - _NAMED_PROBLEMS
    return "; ".join(messages[:_NAMED_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")


def _make_start(
    run: NodeRun,
    request: WaveRequest,
    graph_id: uuid.UUID,
    version: NestedVersion,
    parent: Parent,
    inputs: Envelope,
) -> ExecutionStart:
    created_at = parent.earlier.created_at if parent.earlier else datetime.now(UTC)
    return ExecutionStart(
        user_id=request.execution.user_id,
        graph_id=str(graph_id),
        graph_version=version.version,
        graph_name=version.name,
        plan_hash=version.plan_hash,
        inputs=inputs,
        trigger=TRIGGER,
        created_at=created_at.isoformat(),
        parent_id=run.execution_id,
        budget=parent.budget,
        root_id=str(parent.root_id),
        on_insufficient_credits=parent.on_insufficient_credits,
        credentials=dict(parent.credentials),
        limits=request.limits,
        parent_node=(run.number, run.n),
        depth=request.depth + 1,
    )

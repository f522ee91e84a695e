"""Records the histories that every later version of the workflow must be able to replay.

`python -m tests.replay.recording` executes the shapes on a fresh stack and writes one file each. A file that is
there is never written again: histories are added, not changed. Delete one only when no such execution can be open.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowFailureError, WorkflowHistory

from app.activities.contracts.shards import SHARD_NAME
from tests.engine import make_engine
from tests.replay.shapes import SHAPES, Shape, calls_each_tool
from tests.stack import Stack, run_stack
from tests.stubs import LanguageModelStub

HISTORIES = Path(__file__).parent / "histories"


async def record(stack: Stack, shapes: tuple[Shape, ...]) -> None:
    """Execute shapes and write their histories down."""
    client = await Client.connect(stack.temporal_address, identity="recorder")
    for shape in shapes:
        async with (
            make_engine(client, stack.database_url) as engine,
            LanguageModelStub() as models,
            engine.worker(llm_base_url=models.url, running_per_user=1),
        ):
            models.answer = calls_each_tool
            handle = await shape(engine)
            with suppress(WorkflowFailureError):
                await handle.result()
            histories = [history async for history in _histories(client, handle.id)]
        HISTORIES.mkdir(exist_ok=True)
        for number, history in enumerate(histories):
            document = _without_traces(json.loads(history.to_json()))
            name = f"{shape.__name__}.{number}" if number else shape.__name__
            (HISTORIES / f"{name}.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")


async def _histories(client: Client, execution_id: str) -> AsyncIterator[WorkflowHistory]:
    """Give the last, the first and one middle run of an execution, and one of its shards."""
    runs: list[str] = []
    run_id: str | None = (await client.get_workflow_handle(execution_id).describe()).run_id
    while run_id:
        runs.append(run_id)
        history = await client.get_workflow_handle(execution_id, run_id=run_id).fetch_history()
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
    for run in dict.fromkeys((runs[0], runs[-1], runs[len(runs) // 2])):
        yield await client.get_workflow_handle(execution_id, run_id=run).fetch_history()
    query = f"ParentWorkflowId = '{execution_id}' AND WorkflowType = '{SHARD_NAME}'"
    async for shard in client.list_workflows(query, limit=1):
        yield await client.get_workflow_handle(shard.id).fetch_history()


def _without_traces(document: Any) -> Any:
    """Return a history without the stack traces of failures: they name files of the machine that recorded it."""
    if isinstance(document, dict):
        return {key: _without_traces(value) for key, value in document.items() if key != "stackTrace"}
    if isinstance(document, list):
        return [_without_traces(value) for value in document]
    return document


async def main() -> None:
    """Record the shapes that have no file yet."""
    missing = tuple(shape for shape in SHAPES if not (HISTORIES / f"{shape.__name__}.json").exists())
    with tempfile.TemporaryDirectory() as folder:
        async with run_stack(Path(folder)) as stack:
            await record(stack, missing)
    sys.stdout.write(f"recorded {', '.join(shape.__name__ for shape in missing) or 'nothing'}\n")


if __name__ == "__main__":
    asyncio.run(main())

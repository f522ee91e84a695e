"""Every recorded history replays with today's workflow code, in the sandbox and without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from app.workflows.delivery import NotificationDeliveryWorkflow
from app.workflows.graph_execution import GraphExecutionWorkflow
from app.workflows.graph_shard import GraphShardWorkflow
from app.workflows.scheduled_start import ScheduledStartWorkflow
from tests.replay.recording import HISTORIES
from tests.replay.shapes import SHAPES

RUNNERS = {"sandboxed": SandboxedWorkflowRunner, "unsandboxed": UnsandboxedWorkflowRunner}


def test_every_shape_has_a_history() -> None:
    recorded = {path.stem for path in HISTORIES.glob("*.json")}
    assert recorded >= {shape.__name__ for shape in SHAPES}


@pytest.mark.parametrize("runner", RUNNERS.values(), ids=RUNNERS)
@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path, runner: type[WorkflowRunner]) -> None:
    replayer = Replayer(
        workflows=[
            GraphExecutionWorkflow,
            GraphShardWorkflow,
            ScheduledStartWorkflow,
            NotificationDeliveryWorkflow,
        ],
        workflow_runner=runner(),
    )
    history = _read(path)
    await replayer.replay_workflow(history)


def _read(path: Path) -> WorkflowHistory:
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    # What the workflow starts is named after its own id.
    workflow_id = history.events[0].workflow_execution_started_event_attributes.workflow_id
    return replace(history, workflow_id=workflow_id)

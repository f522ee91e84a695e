"""Workflow code in Temporal's sandbox, without what every further worker of a process would repeat."""

from __future__ import annotations

from typing import ClassVar

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import _Definition as WorkflowDefinition


class Sandbox(SandboxedWorkflowRunner):
    """Runs each workflow in a sandbox of its own; whether its code loads there is tried once in a process."""

    _loaded: ClassVar[set[type]] = set()

    def prepare_workflow(self, definition: WorkflowDefinition) -> None:
        if definition.cls not in self._loaded:
            super().prepare_workflow(definition)
            self._loaded.add(definition.cls)

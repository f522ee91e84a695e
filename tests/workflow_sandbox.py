"""Workflow code in the sandbox of Temporal, its modules loaded once in a process and not for each execution anew."""

from __future__ import annotations

import threading
from typing import ClassVar

from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.worker.workflow_sandbox._importer import Importer
from temporalio.worker.workflow_sandbox._restrictions import RestrictionContext
from temporalio.worker.workflow_sandbox._runner import _Instance as SandboxInstance
from temporalio.workflow import _Definition as WorkflowDefinition


class Sandbox(SandboxedWorkflowRunner):
    """Holds workflow code to the sandbox's restrictions. Executions share what is loaded there, as the product's do."""

    _loaded: ClassVar[set[type]] = set()

    def prepare_workflow(self, definition: WorkflowDefinition) -> None:
        if definition.cls not in self._loaded:
            super().prepare_workflow(definition)
            self._loaded.add(definition.cls)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _Instance(det, self.runner_class, self.restrictions)


class _ContextOfThread(RestrictionContext):
    """Knows of each thread whether workflow code runs there: some are at it while others load it."""

    def __init__(self) -> None:
        self._here = threading.local()
        super().__init__()

    @property
    def is_runtime(self) -> bool:
        return getattr(self._here, "is_runtime", False)

    @is_runtime.setter
    def is_runtime(self, value: bool) -> None:
        self._here.is_runtime = value

    @property
    def in_activation(self) -> bool:
        return getattr(self._here, "in_activation", False)

    @in_activation.setter
    def in_activation(self, value: bool) -> None:
        self._here.in_activation = value


class _Instance(SandboxInstance):
    """One execution in a sandbox that it shares with all others of its workflow."""

    _importers: ClassVar[dict[str, Importer]] = {}
    _loading: ClassVar[threading.Lock] = threading.Lock()

    def __init__(
        self,
        details: WorkflowInstanceDetails,
        runner: type[WorkflowRunner],
        restrictions: SandboxRestrictions,
    ) -> None:
        self.instance_details = details
        self.runner_class = runner
        self._current_thread_id = None
        self.globals_and_locals = {"__file__": "workflow_sandbox.py"}
        with self._loading:
            name = self._workflow_module_name()
            if name not in self._importers:
                context = _ContextOfThread()
                self._importers[name] = Importer(restrictions, context, workflow_module_name=name)
            self.importer = self._importers[name]
            self._create_instance()

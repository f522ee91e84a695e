"""What is known of an execution when all is over: what its client saw, what the API and Temporal say, what it did."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from temporalio.client import Client as Temporal
from temporalio.client import WorkflowHistory

from tests.fault.harness.answers import list_answers
from tests.fault.harness.cases import Case
from tests.fault.harness.clients import Client
from tests.fault.harness.effects import Effect
from tests.fault.harness.models import Question
from tests.fault.harness.system import System

Document = Mapping[str, Any]


@dataclass
class Witness:
    """What the client of one execution has seen while it ran."""

    case: Case
    key: str
    execution_id: str = ""
    """Empty while no start has been answered with 200."""
    statuses: list[str] = field(default_factory=list)
    """Each status that was answered, in order, without repeats."""
    stop_answer: str | None = None
    """The status that a stop was answered with."""
    streamed: Sequence[Document] | None = None
    """The events of the stream, if it was followed."""
    rerun: Witness | None = None
    """Of the execution by which this one was run again."""

    def see(self, status: str) -> None:
        """Note an answered status."""
        if self.statuses[-1:] != [status]:
            self.statuses.append(status)


@dataclass(frozen=True)
class Evidence:
    """Everything about one execution."""

    witness: Witness
    record: Document
    nodes: Sequence[Document]
    events: Sequence[Document]
    effects: Sequence[Effect]
    questions: Sequence[Question]
    """What its nodes have asked a model."""
    answers: Document
    """When each answer was recorded, in seconds since the epoch, by the key of its question."""
    temporal_status: str
    histories: Sequence[WorkflowHistory]
    """Of each run, if it was continued as new."""
    expected: Evidence | None = None
    """The same on the same inputs without faults; None of that itself."""

    @property
    def name(self) -> str:
        """Return what it is called in messages."""
        return f"{self.witness.execution_id} ({self.witness.case.shapes})"

    @property
    def own_nodes(self) -> list[Document]:
        """Return the node executions that it has made itself; a rerun takes the others over."""
        return [row for row in self.nodes if not row["reused"]]

    @property
    def is_stopped(self) -> bool:
        """Whether its client has asked to stop it."""
        return self.witness.stop_answer is not None

    def effects_of(self, node: Document, n: int) -> list[Effect]:
        """Return the requests of one node execution."""
        key = self.key_of(node, n)
        return [effect for effect in self.effects if effect.key == key]

    def key_of(self, node: Document, n: int) -> str:
        """Return the idempotency key of a node execution."""
        return f"{self.witness.execution_id}:{node['node_id']}:{n}"

    def completions(self) -> dict[str, Document]:
        """Return the events of completed node executions by node execution."""
        done = [event for event in self.events if event["type"] == "node_completed"]
        return {event["data"]["node_execution_id"]: event for event in done}

    def numbers(self) -> dict[str, int]:
        """Return which firing of its node each node execution is."""
        return {
            event["data"]["node_execution_id"]: event["data"]["n"]
            for event in self.events
            if "node_execution_id" in event["data"]
        }

    def attempts(self) -> dict[str, int]:
        """Return the last attempt of each activity by its id `node#n`, as Temporal counts."""
        found: dict[str, int] = {}
        for history in self.histories:
            scheduled: dict[int, str] = {}
            for event in history.events:
                if event.HasField("activity_task_scheduled_event_attributes"):
                    scheduled[event.event_id] = event.activity_task_scheduled_event_attributes.activity_id
                if event.HasField("activity_task_started_event_attributes"):
                    started = event.activity_task_started_event_attributes
                    found[scheduled[started.scheduled_event_id]] = started.attempt
        return found

    def found_on_record(self) -> int:
        """Return how many completions were recorded by an attempt that Temporal never heard the end of."""
        attempts, numbers = self.attempts(), self.numbers()
        return sum(
            attempts.get(f"{row['node_id']}#{numbers[row['id']]}", 0) > row["attempt"]
            for row in self.own_nodes
            if row["status"] == "COMPLETED"
        )

    def write(self, folder: Path) -> None:
        """Put everything into files, for people."""
        folder.mkdir(parents=True, exist_ok=True)
        documents = {
            "graph": self.witness.case.body,
            "witness": {"statuses": self.witness.statuses, "stop": self.witness.stop_answer},
            "record": self.record,
            "nodes": self.nodes,
            "events": self.events,
            "effects": [[effect.key, effect.at] for effect in self.effects],
            "questions": [astuple(question) for question in self.questions],
            "answers": self.answers,
        }
        for name, document in documents.items():
            (folder / f"{name}.json").write_text(json.dumps(document, indent=1, default=str))
        for number, history in enumerate(self.histories):
            (folder / f"history-{number}.json").write_text(history.to_json())


def moment_of(event: Document) -> float:
    """Return when an event was recorded, in seconds since the epoch."""
    return datetime.fromisoformat(event["at"]).timestamp()


async def gather_evidence(
    client: Client,
    temporal: Temporal,
    witness: Witness,
    system: System,
    *,
    expected: Evidence | None = None,
) -> Evidence:
    """Ask everybody about an execution that has ended."""
    path = f"/api/executions/{witness.execution_id}"
    handle = temporal.get_workflow_handle(witness.execution_id)
    description = await handle.describe()
    return Evidence(
        witness,
        await client.read(path),
        await client.read_all(f"{path}/nodes"),
        await client.read_all(f"{path}/events"),
        [effect for effect in system.world.effects if effect.execution_id == witness.execution_id],
        [asked for asked in system.model.questions if asked.execution_id == witness.execution_id],
        await list_answers(system.stack, witness.execution_id),
        description.status.name if description.status is not None else "UNKNOWN",
        await _histories(temporal, witness.execution_id),
        expected,
    )


async def _histories(temporal: Temporal, execution_id: str) -> list[WorkflowHistory]:
    found: list[WorkflowHistory] = []
    run_id: str | None = None
    while True:
        history = await temporal.get_workflow_handle(execution_id, run_id=run_id).fetch_history()
        found.insert(0, history)
        run_id = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if not run_id:
            return found

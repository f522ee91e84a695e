"""What Temporal is given for an execution: the input of its workflow, and what lists and the Web UI show of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from app.activities.contracts.execution import ExecutionLimits, ExecutionStart, Rerun
from app.graph.status import Status
from app.models.tables.executions import Execution

SUMMARY_LIMIT = 120
"""Characters of a summary that the Web UI shows."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What is known of an execution beside its row."""

    graph_name: str
    limits: ExecutionLimits
    priority: int | None = None
    rerun: Rerun | None = None


def make_start(execution: Execution, launch: Launch) -> ExecutionStart:
    """Return the input of the workflow that an execution is."""
    return ExecutionStart(
        user_id=execution.user_id,
        graph_id=str(execution.graph_id),
        graph_version=execution.graph_version,
        graph_name=launch.graph_name,
        plan_hash=execution.plan_hash,
        inputs=execution.inputs,
        trigger=execution.trigger,
        trigger_id=str(execution.trigger_id) if execution.trigger_id else None,
        preset_id=str(execution.preset_id) if execution.preset_id else None,
        created_at=execution.created_at.isoformat(),
        parent_id=str(execution.parent_id) if execution.parent_id else None,
        budget=execution.budget,
        on_insufficient_credits=execution.on_insufficient_credits,
        fingerprint=execution.fingerprint,
        limits=launch.limits,
        rerun=launch.rerun,
        credentials=execution.credentials,
    )


def make_memo(start: ExecutionStart) -> dict[str, Any]:
    """Return what is kept beside a workflow for whoever finds it without a record."""
    return {
        "user_id": start.user_id,
        "graph_id": start.graph_id,
        "graph_version": start.graph_version,
        "fingerprint": start.fingerprint,
    }


def make_search_attributes(start: ExecutionStart) -> TypedSearchAttributes:
    """Return what a workflow is found by."""
    words = {
        "GraphId": start.graph_id,
        "UserId": start.user_id,
        "Trigger": start.trigger,
        "GraphStatus": Status.QUEUED.value,
    }
    version = SearchAttributeKey.for_int("GraphVersion")
    return TypedSearchAttributes(
        [
            *(
                SearchAttributePair(SearchAttributeKey.for_keyword(name), word)
                for name, word in words.items()
            ),
            SearchAttributePair(version, start.graph_version),
        ]
    )


def make_summary(start: ExecutionStart) -> str:
    """Return the line that the Web UI shows of an execution."""
    return f"{start.graph_name} v{start.graph_version} ({start.trigger})"[:SUMMARY_LIMIT]


def make_details(start: ExecutionStart, execution_id: str, *, api_url: str | None = None) -> str:
    """Return what the Web UI says of a workflow beside its summary, as Markdown: who asked for it, and where it is.

    Args:
        start: The input of the workflow.
        execution_id: Which.
        api_url: Where people reach the API; without it there is no link.
    """
    # Whoever has issued the token has chosen the id: it is text and nothing else.
    said = [f"Requested by `{start.user_id.replace('`', '')}`"]
    if start.parent_id:
        said.append(f"Follows execution `{start.parent_id}`")
    if start.trigger_id:
        said.append(f"Started by {start.trigger} `{start.trigger_id}`")
    if api_url:
        here = f"{api_url}/api/executions/{execution_id}"
        said.append(f"[Execution]({here}), its [nodes]({here}/nodes) and [events]({here}/events)")
        causes = {f"{start.trigger}s": start.trigger_id, "presets": start.preset_id}
        said += [f"[{kind[:-1].title()}]({api_url}/api/{kind}/{id})" for kind, id in causes.items() if id]
    return "\n\n".join(said)

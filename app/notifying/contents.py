"""What a notification says, made of the record when it is delivered: JSON for programs, plain text for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.graph.envelope import is_reference
from app.models.deliveries import FoundDelivery, ToldExecution
from app.models.mailings import Along
from app.models.notification_events import TEST, NotificationEvent
from app.visible import keep_visible

OUTPUTS_BYTES = 64 * 1024
"""Larger outputs are not told, but where they are."""
_SUBJECT_LENGTH = 150
_MOST_NAMED = 50
"""What goes along beyond these is counted."""
_SUBJECTS = {
    NotificationEvent.EXECUTION_COMPLETED: "Execution completed",
    NotificationEvent.EXECUTION_FAILED: "Execution failed",
    NotificationEvent.EXECUTION_CANCELLED: "Execution cancelled",
    NotificationEvent.REVIEW_REQUESTED: "A review is asked for",
    NotificationEvent.CREDITS_LOW: "Your credits are low",
    NotificationEvent.CREDITS_EXHAUSTED: "An execution waits for credits",
    NotificationEvent.NOTIFICATION_DISABLED: "A notification was switched off",
    TEST: "A test",
}


def make_content(found: FoundDelivery, *, base_url: str) -> dict[str, Any]:
    """Return what a webhook is sent.

    Args:
        found: The delivery.
        base_url: Where people reach the API; empty for addresses without a host.
    """
    data: dict[str, Any] = {"notification_id": found.notification_id, "notification": found.name}
    if found.execution is not None:
        data |= _of_execution(found, found.execution, base_url)
    data |= _of_event(found, base_url)
    return {"type": found.event, "timestamp": found.told_at.isoformat(), "data": data}


def make_body(content: dict[str, Any]) -> str:
    """Return the text that is signed and sent."""
    return json.dumps(content, separators=(",", ":"))


def _of_event(found: FoundDelivery, base_url: str) -> dict[str, Any]:
    told, execution = found.data, found.execution
    match found.event:
        case NotificationEvent.REVIEW_REQUESTED if execution is not None:
            names = ("node_id", "node_execution_id", "n", "due_at")
            reviews = f"{base_url}/api/executions/{execution.id}/reviews"
            return {"reviews_url": reviews, **{name: told.get(name) for name in names}}
        case NotificationEvent.CREDITS_LOW:
            return {name: told.get(name) for name in ("balance", "threshold")}
        case NotificationEvent.CREDITS_EXHAUSTED if execution is not None:
            return {"reason": told.get("reason"), "required": execution.required}
        case NotificationEvent.NOTIFICATION_DISABLED:
            return {"disabled": told}
    return {}


def _of_execution(found: FoundDelivery, execution: ToldExecution, base_url: str) -> dict[str, Any]:
    url = f"{base_url}/api/executions/{execution.id}"
    # Told is what has happened; by now the execution may be further.
    is_end = found.event.startswith("execution.")
    data: dict[str, Any] = {
        "execution_id": execution.id,
        "execution_url": url,
        "graph_id": execution.graph_id,
        "graph_version": execution.graph_version,
        "graph_name": execution.graph_name,
        "trigger": execution.trigger,
        "parent_id": execution.parent_id,
        "created_at": execution.created_at.isoformat(),
        "started_at": _iso(execution.started_at),
    }
    if not is_end:
        return data
    if execution.is_deleted:
        # What has come of it is gone, and that it is empty would be untrue.
        return data | {"status": execution.status, "ended_at": _iso(execution.ended_at)}
    data |= {
        "status": execution.status,
        "error": execution.error,
        "cost": execution.cost,
        "ended_at": _iso(execution.ended_at),
    }
    if execution.started_at is not None and execution.ended_at is not None:
        data["seconds"] = round((execution.ended_at - execution.started_at).total_seconds(), 3)
    if found.includes_outputs:
        outputs = _inline(execution.outputs)
        data |= {"outputs_url": url} if outputs is None else {"outputs": outputs}
    return data


def _inline(outputs: dict[str, list[Any]] | None) -> dict[str, list[Any]] | None:
    if outputs is None or any(is_reference(each) for values in outputs.values() for each in values):
        return None
    opened = {name: [envelope[0] for envelope in values] for name, values in outputs.items()}
    return opened if len(json.dumps(opened)) <= OUTPUTS_BYTES else None


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def make_subject(found: FoundDelivery, *, more: int = 0) -> str:
    """Return the subject of an e-mail: one line, whatever the graph is called.

    Args:
        found: What it tells.
        more: How much else it tells.
    """
    subject = _named(found.event, found.execution.graph_name if found.execution else "")
    return f"{subject}, and {more} more" if more else subject


def _named(event: str, graph: str) -> str:
    subject = _SUBJECTS.get(event, event)
    return keep_visible(f"{subject}: {graph}" if graph else subject)[:_SUBJECT_LENGTH]


def make_text(found: FoundDelivery, along: Sequence[Along] = (), *, base_url: str) -> str:
    """Return the text of an e-mail.

    Args:
        found: What it tells.
        along: What else it tells.
        base_url: Where people reach the API; empty for addresses without a host.
    """
    content = make_content(found, base_url=base_url)
    lines = [make_subject(found), "", f"At: {content['timestamp']}"]
    for name, value in content["data"].items():
        if value is not None and name not in ("notification_id", "notification"):
            text = value if isinstance(value, str) else json.dumps(value)
            lines.append(f"{name.replace('_', ' ').capitalize()}: {keep_visible(text, keeps_lines=False)}")
    if along:
        lines += [
            "",
            "There have been many e-mails, so this one tells what else has happened since the one before:",
        ]
        lines += [
            f"{each.told_at.isoformat()} {_named(each.event, each.graph_name)} {each.execution_id or ''}".rstrip()
            for each in along[:_MOST_NAMED]
        ]
        if len(along) > _MOST_NAMED:
            lines.append(f"… and {len(along) - _MOST_NAMED} more: {base_url}/api/executions")
    here = f"{base_url}/api/notifications/{found.notification_id}"
    lines += ["", "--", f"You get this because of your notification “{keep_visible(found.name)}”."]
    lines += ["To get no more of these, switch it off or delete it:", f"PATCH or DELETE {here}"]
    return "\n".join(lines) + "\n"

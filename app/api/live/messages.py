"""Notices as messages of a WebSocket, in the form that AutoGPT's clients read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.api.live.channels import EXECUTION, Channel
from app.api.live.notices import RESET, SNAPSHOT, TOKEN, Notice
from app.models.event_types import OF_NODES

OF_ALL = "graph_execution_event"
OF_ONE_NODE = "node_execution_event"
OF_ELSE = "notification"


def make_message(notice: Notice, channel: Channel, name: str) -> dict[str, Any]:
    """Return the message that tells of a notice.

    Args:
        notice: What is told.
        channel: Where.
        name: What the channel is called.
    """
    told = {"success": True, "channel": name, "after": notice.place}
    if notice.type in {SNAPSHOT, RESET, TOKEN}:
        return {"method": notice.type, **told, "data": notice.data}
    seq = notice.data["seq"]
    return {"method": _method_of(notice.type), **told, "seq": seq, "data": _data_of(notice, channel)}


def _method_of(event_type: str) -> str:
    if event_type.startswith(OF_NODES):
        return OF_ONE_NODE
    return OF_ALL if event_type.startswith("execution_") else OF_ELSE


def _data_of(notice: Notice, channel: Channel) -> dict[str, Any]:
    """Return the event, and what clients look for beside it."""
    event: Mapping[str, Any] = notice.data
    said: Mapping[str, Any] = event["data"]
    execution_id = str(channel.id) if channel.kind == EXECUTION else event["execution_id"]
    named = {"id": execution_id, "graph_exec_id": execution_id, "type": notice.type, "event": event}
    if "graph_id" in event:
        named["graph_id"] = event["graph_id"]
    if "status" in said:
        named["status"] = said["status"]
    if notice.type.startswith(OF_NODES):
        named["node_id"] = said.get("node_id")
        named["node_exec_id"] = said.get("node_execution_id")
    return named

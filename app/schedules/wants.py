"""What a schedule asks to be executed."""

from __future__ import annotations

from app.models.tables.schedules import Schedule
from app.schedules.specs import TRIGGER
from app.starting.deciding import Wanted


def wanted_of(row: Schedule) -> Wanted:
    """Return the execution that each fire of a schedule asks for."""
    return Wanted(
        owner=row.user_id,
        graph_id=row.graph_id,
        version=row.graph_version,
        preset_id=row.preset_id,
        inputs=row.inputs,
        credentials_inputs=row.credentials_inputs,
        trigger=TRIGGER,
        trigger_id=row.id,
        budget=row.budget,
        on_insufficient_credits=row.on_insufficient_credits,
        timeout_seconds=row.timeout_seconds,
        max_node_executions=row.max_node_executions,
        priority=row.priority,
    )

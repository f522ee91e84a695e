"""What executions remember, on the wire."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from app.models.memories import NO_GRAPH
from app.models.tables.memories import Memory


class MemoryView(BaseModel):
    """Something that is remembered, without its value."""

    model_config = ConfigDict(from_attributes=True)

    graph_id: uuid.UUID | None
    """Whose executions see it; null for those of all your graphs."""
    key: str
    size: int
    """Bytes of the value as JSON."""
    updated_at: datetime


class MemoryWithValueView(MemoryView):
    """Something that is remembered."""

    value: Any

    @classmethod
    def of(cls, memory: Memory) -> MemoryWithValueView:
        """Make the view of a memory."""
        return cls(
            graph_id=None if memory.graph_id == NO_GRAPH else memory.graph_id,
            key=memory.key,
            size=memory.size,
            updated_at=memory.updated_at,
            value=memory.value,
        )


class ForgottenView(BaseModel):
    """What was forgotten."""

    forgotten: int
    """How many keys."""

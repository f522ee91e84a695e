"""What those who follow executions are told, whichever way it reaches them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app.database import AWAY

SNAPSHOT = "snapshot"
"""What is so at the place where the events begin."""
RESET = "reset"
"""The place to go on from means nothing, or nothing any more; a snapshot follows."""
TOKEN = "token"  # noqa: S105 - the name of an event
OUTAGE = (*AWAY, SQLAlchemyError)
"""What is raised while the database is away: whoever follows sits it out."""
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that is told."""

    type: str = ""
    """Empty for a sign of life, which may have a place all the same."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """As JSON has it."""
    place: str = ""
    """Where to go on behind it; empty where that is unchanged."""

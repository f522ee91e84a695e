"""The audit log on the wire."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from app.models.tables.audit import AuditEntry


class AuditEntryView(BaseModel):
    """Who did what to which thing."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    user_id: str
    """Whose things were concerned."""
    actor_id: str
    """Who acted: you, or an administrator."""
    api_key_id: uuid.UUID | None
    """The API key that was used, if one was."""
    action: str
    """`noun.verb`; what administrators do begins with `admin.`."""
    object_id: str
    """To which thing."""
    outcome: str
    """The code of the error that refused it; empty when it was done."""
    address: str
    """IP address that the request came from; empty where that is an administrator's."""
    request_id: str
    details: dict[str, Any]

    @classmethod
    def for_owner(cls, entry: AuditEntry) -> AuditEntryView:
        """Return an entry as the user sees it whom it concerns."""
        view = cls.model_validate(entry)
        if entry.actor_id == entry.user_id:
            return view
        # From where administrators work, and with what, concerns nobody else.
        return view.model_copy(update={"address": "", "api_key_id": None})

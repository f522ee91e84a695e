"""Users on the wire."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class UserView(BaseModel):
    """The user that a token speaks for."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    email: str
    name: str
    role: str
    timezone: str
    credits: int
    created_at: datetime
    last_login: datetime | None

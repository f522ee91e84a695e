"""Users on the wire."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.schemas.texts import Name
from app.api.schemas.timezones import TimeZone
from app.models.page import MAX_NUMBER

MAX_PREFERENCES_BYTES = 16 * 1024


class Preferences(BaseModel):
    """What a user likes. Fields of other names are kept for whoever has written them."""

    model_config = ConfigDict(strict=True, extra="allow")

    low_balance: Annotated[int, Field(ge=0, le=MAX_NUMBER)] | None = None
    """Credits below which the user is told that they run low; 0 for never, left out for the usual."""

    @model_validator(mode="after")
    def _is_small(self) -> Preferences:
        if len(json.dumps(self.given())) > MAX_PREFERENCES_BYTES:
            raise ValueError(f"must not have more than {MAX_PREFERENCES_BYTES} bytes of JSON")
        return self

    def given(self) -> dict[str, Any]:
        """Return what was given."""
        return self.model_dump(exclude_unset=True)


class UserBody(BaseModel):
    """What is to be other than before; what is left out stays."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Name | None = None
    timezone: TimeZone | None = None
    """IANA name, e.g. `Europe/Berlin`."""
    preferences: Preferences | None = None
    """Instead of all that there were."""


class UserView(BaseModel):
    """The user that a token speaks for."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    email: str
    name: str
    role: str
    timezone: str
    preferences: dict[str, Any]
    credits: int
    created_at: datetime
    last_login: datetime | None
    """When a token of theirs was last seen, to the minute."""

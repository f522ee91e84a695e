"""Presets on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from app.api.schemas.graphs import JsonObject
from app.api.schemas.texts import Description, Name
from app.models.page import MAX_NUMBER
from app.models.tables.presets import Preset

Version = Annotated[int, Field(ge=1, le=MAX_NUMBER)]
Words = Annotated[Description, BeforeValidator(lambda given: "" if given is None else given)]


class PresetBody(BaseModel):
    """A preset to keep."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "graph_id": "5f0c7a8e-6d4f-4d59-9b35-0f6c9d9a0c11",
                    "name": "weekly",
                    "inputs": {"topic": "weather"},
                }
            ]
        },
    )

    graph_id: Annotated[UUID, Strict(False)]
    graph_version: Version | None = None
    """Null for the active one, whichever that is at the time."""
    name: Name
    description: Words = ""
    inputs: JsonObject = Field(default_factory=dict)
    """By the names of the input nodes. What is left open is given when it is executed."""
    credentials_inputs: JsonObject = Field(default_factory=dict)
    """As of an execution."""


class PresetChangeBody(BaseModel):
    """What is to be other than before; what is left out stays."""

    model_config = ConfigDict(strict=True, extra="forbid")

    graph_version: Version | None = None
    """Null for the active one."""
    name: Name | None = None
    description: Words | None = None
    inputs: JsonObject | None = None
    """All of them: what was there before and is not given is gone."""
    credentials_inputs: JsonObject | None = None
    """All of them."""


class PresetView(BaseModel):
    """Inputs and credentials of a graph under a name."""

    id: UUID
    graph_id: UUID
    graph_version: int | None
    """Null for the active one."""
    name: str
    description: str
    inputs: dict[str, Any]
    credentials_inputs: dict[str, Any]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Preset, inputs: dict[str, Any]) -> PresetView:
        """Return a preset as it goes out."""
        names = cls.model_fields.keys() - {"inputs"}
        return cls(**{name: getattr(row, name) for name in names}, inputs=inputs)

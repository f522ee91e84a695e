"""Publications, and calls of published graphs, on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict

from app.api.schemas.presets import Version, Words
from app.graph.status import Status
from app.models.publications import SLUG, PublishedGraph

RESERVED = frozenset({"api", "docs", "mcp", "me", "new", "openapi", "run", "schema", "tools"})
"""Names that calls of ours may have one day, beside or below those of graphs."""


def _slug(text: str) -> str:
    if not SLUG.fullmatch(text):
        raise ValueError(
            "must have 1 to 60 characters out of a-z, 0-9 and -, and neither begin nor end with a -"
        )
    if text in RESERVED:
        raise ValueError("is a reserved name")
    return text


class PublicationBody(BaseModel):
    """How a graph is to be called by a name."""

    model_config = ConfigDict(
        strict=True, extra="forbid", json_schema_extra={"examples": [{"slug": "add", "is_tool": True}]}
    )

    slug: Annotated[str, Field(max_length=60), AfterValidator(_slug)]
    """The name, `a-z`, `0-9` and `-`; no other graph of yours goes by it."""
    graph_version: Version | None = None
    """Null for that of the preset, or else the active one, whichever that is at the time."""
    description: Words = ""
    """What it does, for callers and models; that of the version when left out."""
    is_tool: bool = False
    """Whether models are offered it over MCP."""
    preset_id: Annotated[UUID, Strict(False)] | None = None
    """What inputs and credentials are taken from that a call does not give."""
    budget: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """The most credits that one call may cost. A call may ask for less, not for more."""
    calls_per_minute: Annotated[int, Field(ge=1, le=60_000)] | None = None
    """How often it may be called, by all programs together; null for as often as you may start executions."""


class PublicationView(BaseModel):
    """A graph that is called by a name."""

    graph_id: UUID
    slug: str
    graph_version: int | None
    preset_id: UUID | None
    description: str
    is_tool: bool
    budget: int | None
    calls_per_minute: int | None
    url: str
    """Where it is called."""
    runs_version: int
    """The version that a call runs now."""
    input_schema: dict[str, Any]
    """JSON schema of what a call is given."""
    output_schema: dict[str, Any]
    """JSON schema of `outputs` in the answer."""
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(
        cls, published: PublishedGraph, inputs: dict[str, Any], outputs: dict[str, Any]
    ) -> PublicationView:
        """Return a publication as it goes out.

        Args:
            published: The publication.
            inputs: JSON schema of what a call is given.
            outputs: JSON schema of what it gives.
        """
        row = published.publication
        names = cls.model_fields.keys() & type(row).model_fields.keys()
        return cls(
            **{name: getattr(row, name) for name in names},
            url=f"/api/run/{row.slug}",
            runs_version=published.version,
            input_schema=inputs,
            output_schema=outputs,
        )


class RunView(BaseModel):
    """What came of a call of a published graph."""

    execution_id: UUID
    status: Status
    outputs: Mapping[str, Sequence[Any]]
    """Run outputs by name, each with its values in the order they came; so far, when it goes on."""
    cost: int
    """Credits, so far."""

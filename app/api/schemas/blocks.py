"""Blocks on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.graphs import JsonObject
from app.blocks.base import Block


class CostView(BaseModel):
    """What one call costs under some inputs."""

    credits: int
    type: str
    filter: dict[str, Any]


class BlockView(BaseModel):
    """A kind of work."""

    id: str
    slug: str
    name: str
    description: str
    categories: list[str]
    kind: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    costs: list[CostView]
    is_static: bool
    """Whether what it emits stays on its links."""

    @classmethod
    def of(cls, block: Block) -> BlockView:
        """Return a block as it goes out."""
        return cls(
            id=block.id,
            slug=block.signature.slug,
            name=block.name,
            description=block.description,
            categories=[category.value for category in block.categories],
            kind=block.kind.value,
            input_schema=block.Input.model_json_schema(),
            output_schema=block.Output.model_json_schema(),
            costs=[CostView(credits=c.credits, type=c.type, filter=dict(c.filter)) for c in block.costs],
            is_static=block.is_static,
        )


class TrialBody(BaseModel):
    """What a block is called with."""

    model_config = ConfigDict(strict=True)

    inputs: JsonObject = Field(default_factory=dict)


class TrialView(BaseModel):
    """What a block emitted."""

    outputs: dict[str, list[Any]]
    cost: int

"""Blocks on the wire."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.graphs import JsonObject
from app.blocks.base import Block
from app.graph.credentials import CredentialsNeed

_ERROR_PIN = "error"
_ERROR = {"title": "Error", "type": "string", "description": "Why the block failed."}


class CostView(BaseModel):
    """What one call costs under some inputs."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    credits: int
    """What a run costs; where the cost goes by something else, what is reserved before."""
    type: str
    """`run`, or what is counted: `second`, `byte`, `items`, `tokens` (at the rates of `GET /models`), `cost_usd`."""
    amount: int
    """Credits per `divisor` of what is counted."""
    divisor: int
    filter: dict[str, Any]
    """Inputs that must be so."""


class CredentialsNeedView(BaseModel):
    """The credentials that an input is for."""

    providers: list[str]
    types: list[str]
    scopes: list[str]
    is_required: bool
    """False when the server's own keys, or none, do as well."""
    discriminator: str
    """The input that decides for which of the providers, or for which host, they have to be; empty for none."""

    @classmethod
    def of(cls, need: CredentialsNeed) -> CredentialsNeedView:
        """Return a need as it goes out."""
        return cls(
            providers=list(need.providers),
            types=[kind.value for kind in need.types],
            scopes=list(need.scopes),
            is_required=need.is_required,
            discriminator=need.discriminator,
        )


class BlockView(BaseModel):
    """A kind of work."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    slug: str
    name: str
    description: str
    categories: list[str]
    kind: str
    lane: str
    """How a call is carried: `local` (pure; it may be repeated), `remote`, `timer` or `hold` (waits)."""
    effect: str
    """What a second call would do to the world: `pure` nothing, `keyed` is recognised by its key, `unkeyed` again."""
    pool: str
    """The pool of workers that serves it; empty for the common one."""
    timeout_seconds: float
    """How long one attempt may take, unless a node says otherwise."""
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    takes_any_input: bool
    """Whether a link may lead to a pin that is not in the schema."""
    gives_any_output: bool
    """Whether a link may leave a pin that is not in the schema."""
    credentials: dict[str, CredentialsNeedView]
    """By the input that holds them."""
    costs: list[CostView]
    """The first that fits the inputs counts; 1 credit is 1 US cent."""
    is_static: bool
    """Whether what it emits stays on its links."""
    is_sensitive: bool
    """Whether it acts in the world in a way that its owner may want to be asked about first."""
    is_enabled: bool
    """Whether it is executed on this server."""
    disabled_reason: str | None
    """Why it is not."""

    @classmethod
    def of(cls, block: Block) -> BlockView:
        """Return a block as it goes out."""
        signature = block.signature
        return cls(
            id=block.id,
            slug=signature.slug,
            name=block.name,
            description=block.description,
            categories=[category.value for category in block.categories],
            kind=block.kind.value,
            lane=block.lane.value,
            effect=block.effect.value,
            pool=block.pool,
            timeout_seconds=block.timeout_seconds,
            input_schema=_titled(block.Input.model_json_schema()),
            output_schema=_output_schema(block),
            takes_any_input=block.takes_any_input,
            gives_any_output=block.gives_any_output,
            credentials={pin: CredentialsNeedView.of(need) for pin, need in block.credentials.items()},
            costs=[CostView(**{**asdict(cost), "filter": dict(cost.filter)}) for cost in block.costs],
            is_static=block.is_static,
            is_sensitive=block.is_sensitive,
            is_enabled=not block.off_because,
            disabled_reason=block.off_because or None,
        )


def _output_schema(block: Block) -> dict[str, Any]:
    schema = block.Output.model_json_schema()
    if _ERROR_PIN in block.signature.outputs:
        schema["properties"] = {**schema.get("properties", {}), _ERROR_PIN: _ERROR}
    return _titled(schema)


def _titled(schema: dict[str, Any]) -> dict[str, Any]:
    """Give a title to the pins whose type is described elsewhere in the schema; pydantic gives one to all others."""
    for name, pin in schema.get("properties", {}).items():
        pin.setdefault("title", name.replace("_", " ").title())
    return schema


class TrialBody(BaseModel):
    """What a block is called with."""

    model_config = ConfigDict(strict=True)

    inputs: JsonObject = Field(default_factory=dict)


class TrialView(BaseModel):
    """What a block emitted."""

    outputs: dict[str, list[Any]]
    cost: int

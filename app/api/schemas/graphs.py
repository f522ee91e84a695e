"""Graphs on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.api.schemas.texts import Description, Name
from app.graph.credential_needs import credentials_schema, needs_from_json
from app.graph.definition import GraphDefinition, Link, Node
from app.graph.nesting import NestedGraph
from app.graph.validation import MAX_LINKS, MAX_NODES
from app.models.graphs import SavedGraph

MAX_REF_LENGTH = 500

Ref = Annotated[str, Field(min_length=1, max_length=MAX_REF_LENGTH)]
JsonObject = Annotated[dict[str, Any], BeforeValidator(lambda given: {} if given is None else given)]
Text = Annotated[str, BeforeValidator(lambda given: "" if given is None else given)]


class NodeBody(BaseModel):
    """A use of a block."""

    model_config = ConfigDict(strict=True)

    id: Ref
    """Any string that is unique in the graph; it is kept."""
    block_id: Ref
    """A block's UUID or its slug."""
    input_default: JsonObject = Field(default_factory=dict)
    """Constants by pin name."""
    metadata: JsonObject = Field(default_factory=dict)
    """Position, title, `retry`, `timeout_seconds`, `delivery`, and whatever else is to be kept here."""


class LinkBody(BaseModel):
    """A connection from an output pin to an input pin."""

    model_config = ConfigDict(strict=True)

    id: Annotated[Text, Field(max_length=MAX_REF_LENGTH)] = ""
    """Made when it is left out."""
    source_id: Ref
    sink_id: Ref
    source_name: Ref
    sink_name: Ref
    is_static: bool | None = None
    """Follows from the source block, whatever is said here."""


class GraphBody(BaseModel):
    """A graph as its author gives it."""

    model_config = ConfigDict(strict=True)

    name: Name
    """1 to 100 characters; HTML is removed."""
    description: Annotated[Description, BeforeValidator(lambda given: "" if given is None else given)] = ""
    """Up to 1,000 characters; HTML is removed."""
    nodes: list[NodeBody] = Field(max_length=MAX_NODES)
    links: list[LinkBody] = Field(default_factory=list, max_length=MAX_LINKS)

    def to_definition(self) -> GraphDefinition:
        """Return the graph as the core knows it."""
        return GraphDefinition(
            nodes=tuple(
                Node(node.id, node.block_id, node.input_default, node.metadata) for node in self.nodes
            ),
            links=tuple(
                Link(
                    link.source_id,
                    link.sink_id,
                    link.source_name,
                    link.sink_name,
                    link.id,
                    bool(link.is_static),
                )
                for link in self.links
            ),
        )


class ActiveVersionBody(BaseModel):
    """Which version is to run by default."""

    model_config = ConfigDict(strict=True)

    active_graph_version: int = Field(ge=1, le=2**31 - 1)


class NodeView(BaseModel):
    """A use of a block."""

    id: str
    block_id: str
    input_default: dict[str, Any]
    metadata: dict[str, Any]


class LinkView(BaseModel):
    """A connection from an output pin to an input pin."""

    id: str
    source_id: str
    sink_id: str
    source_name: str
    sink_name: str
    is_static: bool


class SubGraphView(BaseModel):
    """A version that is nested in a graph, directly or through others."""

    id: UUID
    version: int
    name: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]

    @classmethod
    def of(cls, nested: NestedGraph) -> SubGraphView:
        """Return a nested version as it goes out."""
        return cls(
            id=nested.graph_id,
            version=nested.version,
            name=nested.name,
            description=nested.description,
            input_schema=dict(nested.input_schema),
            output_schema=dict(nested.output_schema),
        )


class GraphView(BaseModel):
    """One version of a graph."""

    id: UUID
    name: str
    description: str
    user_id: str
    version: int
    is_active: bool
    """Whether this version runs by default."""
    created_at: datetime
    updated_at: datetime
    nodes: list[NodeView]
    links: list[LinkView]
    sub_graphs: list[SubGraphView]
    """What is nested in it, at all depths, each version once; nodes and links are read from the graph itself."""
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    credentials_input_schema: dict[str, Any]
    """The credentials to choose for an execution, for what is nested in it too, by the keys of `credentials_inputs`."""

    @classmethod
    def of(cls, saved: SavedGraph, nested: Sequence[NestedGraph]) -> GraphView:
        """Return a saved version as it goes out, with all that is nested in it."""
        graph, version = saved.graph, saved.version
        return cls(
            id=graph.id,
            name=version.name,
            description=version.description,
            user_id=graph.user_id,
            version=version.version,
            is_active=saved.is_active,
            created_at=graph.created_at,
            updated_at=graph.updated_at,
            nodes=[NodeView.model_validate(node) for node in version.definition["nodes"]],
            links=[LinkView.model_validate(link) for link in version.definition["links"]],
            sub_graphs=[SubGraphView.of(each) for each in nested],
            input_schema=version.input_schema,
            output_schema=version.output_schema,
            credentials_input_schema=credentials_schema(
                [
                    *needs_from_json(version.credential_needs),
                    *(need for each in nested for need in each.credential_needs),
                ]
            ),
        )


class ValidationView(BaseModel):
    """What is wrong with a graph."""

    valid: bool
    node_errors: dict[str, dict[str, str]]
    """By node id and field; empty for a valid graph."""
    input_schema: dict[str, Any] | None = None
    """What an execution takes; only for a valid graph."""
    output_schema: dict[str, Any] | None = None
    credentials_input_schema: dict[str, Any] | None = None

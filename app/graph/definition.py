"""What a user saves: nodes and links. This file knows nothing of blocks, users or storage."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

_LINK_NAMESPACE = uuid.UUID("3f5a4b44-8c5e-4dfb-9a53-0b7d1c9f7a11")


@dataclass(frozen=True, slots=True)
class Node:
    """A use of a block in a graph."""

    id: str
    """The caller's id, any string unique in the graph."""
    block_id: str
    """A block's UUID or its slug."""
    input_default: Mapping[str, Any] = field(default_factory=dict)
    """Constants by pin name; a name may carry a dynamic suffix (`values_#_key`)."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Position, title, `retry`, `timeout_seconds`, `delivery`, and whatever the caller keeps here."""

    @property
    def title(self) -> str:
        """Return what a person calls this node."""
        return str(self.metadata.get("customized_name") or self.metadata.get("title") or self.id)


@dataclass(frozen=True, slots=True)
class Link:
    """A connection from an output pin of one node to an input pin of another."""

    source_id: str
    sink_id: str
    source_name: str
    sink_name: str
    id: str = ""
    """Made from the ends and the position when the caller leaves it out."""
    is_static: bool = False
    """Whether a value sent over this link stays there for later node executions."""


@dataclass(frozen=True, slots=True)
class GraphDefinition:
    """The nodes and links of one version, in the order the caller listed them."""

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]

    def with_links(self, links: Sequence[Link]) -> GraphDefinition:
        """Return the same nodes joined by other links."""
        return replace(self, links=tuple(links))


def name_links(links: Sequence[Link]) -> tuple[Link, ...]:
    """Give every link without an id one that follows from its ends and its position."""
    return tuple(
        link if link.id else replace(link, id=_link_id(position, link)) for position, link in enumerate(links)
    )


def _link_id(position: int, link: Link) -> str:
    text = "\x1f".join((str(position), link.source_id, link.source_name, link.sink_id, link.sink_name))
    return str(uuid.uuid5(_LINK_NAMESPACE, text))


def definition_to_json(graph: GraphDefinition) -> dict[str, Any]:
    """Return the JSON form of a definition."""
    return {
        "nodes": [
            {
                "id": node.id,
                "block_id": node.block_id,
                "input_default": dict(node.input_default),
                "metadata": dict(node.metadata),
            }
            for node in graph.nodes
        ],
        "links": [
            {
                "id": link.id,
                "source_id": link.source_id,
                "sink_id": link.sink_id,
                "source_name": link.source_name,
                "sink_name": link.sink_name,
                "is_static": link.is_static,
            }
            for link in graph.links
        ],
    }


def definition_from_json(document: Mapping[str, Any]) -> GraphDefinition:
    """Read the JSON form back. The form is taken as checked: the API's schemas do that."""
    return GraphDefinition(
        nodes=tuple(
            Node(
                id=node["id"],
                block_id=node["block_id"],
                input_default=node.get("input_default") or {},
                metadata=node.get("metadata") or {},
            )
            for node in document["nodes"]
        ),
        links=tuple(
            Link(
                id=link.get("id") or "",
                source_id=link["source_id"],
                sink_id=link["sink_id"],
                source_name=link["source_name"],
                sink_name=link["sink_name"],
                is_static=bool(link.get("is_static")),
            )
            for link in document["links"]
        ),
    )

"""Writes a saved graph, with all that is nested in it, as an agent file: the form that an import takes again.

No secret goes out, as far as one can be told from other things; which those are is decided elsewhere.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from app.autogpt.block_names import BLOCK_NAMES
from app.autogpt.constants import OWN_MARKS, OWNER, SET_ASIDE
from app.autogpt.reading import as_object
from app.autogpt.withholding import list_secret_inputs, metadata_without_secrets, without_secrets
from app.graph.definition import GraphDefinition, Link, Node
from app.graph.interface import input_schema, output_schema
from app.graph.nesting import GRAPH_ID, GRAPH_VERSION, INPUTS, read_ref
from app.graph.signature import BlockSignature, Kind
from app.graph.validation import Signatures

REVIEW_BLOCK = "8b2a7b3c-6e9d-4a5f-8c1b-2e3f4a5b6c7d"
TRIGGERS = ("TriggerBlock", "WebhookBlock")
"""How the names of blocks end that something outside sets off."""
MAX_COPIED_LINKS = 2_000
"""Nodes repeat their links in a file, unless there are more: it would become too large to be imported again."""
Withheld: TypeAlias = Callable[[Node], Collection[str]]
"""Returns which inputs of the graph that a node executes are secret; none for a node that executes no graph."""


@dataclass(frozen=True, slots=True)
class SavedAgent:
    """A version of a graph, as it is saved here."""

    id: uuid.UUID
    version: int
    is_active: bool
    name: str
    description: str
    extras: Mapping[str, Any]
    created_at: datetime
    definition: GraphDefinition
    credentials_input_schema: Mapping[str, Any]


def write_agent(
    agent: SavedAgent,
    nested: Sequence[SavedAgent],
    signatures: Signatures,
    *,
    active: Mapping[uuid.UUID, int],
) -> dict[str, Any]:
    """Return an agent file.

    Args:
        agent: What is exported.
        nested: All versions that are nested in it, at all depths.
        signatures: The blocks there are.
        active: The active versions of graphs that nodes name without a version.
    """
    secret = {(each.id, each.version): list_secret_inputs(each.definition, signatures) for each in nested}

    def withheld(node: Node) -> Collection[str]:
        ref = read_ref(node.input_default)
        version = None if ref is None else ref.version or active.get(ref.graph_id)
        return () if ref is None or version is None else secret.get((ref.graph_id, version), ())

    stripped = [_without_secrets(each, signatures, withheld) for each in (agent, *nested)]
    writing = _Writing(
        {(each.id, each.version): each for each in stripped[1:]},
        signatures,
        active,
        withheld,
        copies_links=sum(len(each.definition.links) for each in stripped) <= MAX_COPIED_LINKS,
    )
    document, *sub_graphs = map(writing.write, stripped)
    document["sub_graphs"] = sub_graphs
    return document


def _without_secrets(agent: SavedAgent, signatures: Signatures, withheld: Withheld) -> SavedAgent:
    nodes = tuple(
        replace(
            node,
            input_default=without_secrets(node, signatures.get(node.block_id), withheld=withheld(node)),
            metadata=metadata_without_secrets(node.metadata),
        )
        for node in agent.definition.nodes
    )
    return replace(agent, definition=replace(agent.definition, nodes=nodes))


class _Writing:
    """One file being written."""

    def __init__(
        self,
        nested: Mapping[tuple[uuid.UUID, int], SavedAgent],
        signatures: Signatures,
        active: Mapping[uuid.UUID, int],
        withheld: Withheld,
        *,
        copies_links: bool,
    ) -> None:
        self._nested = nested
        self._withheld = withheld
        self._copies_links = copies_links
        self._signatures = signatures
        self._active = active

    def write(self, agent: SavedAgent) -> dict[str, Any]:
        """Return one graph of the file."""
        blocks = {node.id: self._signatures.get(node.block_id) for node in agent.definition.nodes}
        links = [_write_link(link) for link in agent.definition.links]
        return {
            "id": str(agent.id),
            "version": agent.version,
            "is_active": agent.is_active,
            "name": agent.name,
            "description": agent.description,
            "instructions": agent.extras.get("instructions"),
            "recommended_schedule_cron": agent.extras.get("recommended_schedule_cron"),
            "forked_from_id": agent.extras.get("forked_from_id"),
            "forked_from_version": agent.extras.get("forked_from_version"),
            "user_id": "",
            "created_at": agent.created_at.isoformat(),
            "nodes": self._write_nodes(agent, blocks, links),
            "links": links,
            "sub_graphs": [],
            **self._schemas_of(agent),
            "has_external_trigger": any(
                _name_of(node, blocks[node.id]).endswith(TRIGGERS) for node in agent.definition.nodes
            ),
            "has_human_in_the_loop": any(
                _id_of(node, blocks[node.id]) == REVIEW_BLOCK for node in agent.definition.nodes
            ),
            "has_sensitive_action": any(block.is_sensitive for block in blocks.values() if block is not None),
            "trigger_setup_info": None,
            "credentials_input_schema": dict(agent.credentials_input_schema),
        }

    def _write_nodes(
        self,
        agent: SavedAgent,
        blocks: Mapping[str, BlockSignature | None],
        links: Sequence[Mapping[str, Any]],
    ) -> list[dict[str, Any]]:
        arriving: dict[str, list[Mapping[str, Any]]] = {}
        leaving: dict[str, list[Mapping[str, Any]]] = {}
        for link in links if self._copies_links else ():
            arriving.setdefault(link["sink_id"], []).append(link)
            leaving.setdefault(link["source_id"], []).append(link)
        return [
            {
                "id": node.id,
                "block_id": _id_of(node, blocks[node.id]),
                "input_default": self._write_constants(node, blocks[node.id]),
                "metadata": {key: value for key, value in node.metadata.items() if key not in OWN_MARKS},
                "input_links": arriving.get(node.id, []),
                "output_links": leaving.get(node.id, []),
                "graph_id": str(agent.id),
                "graph_version": agent.version,
                "webhook_id": None,
                "webhook": None,
            }
            for node in agent.definition.nodes
        ]

    def _write_constants(self, node: Node, block: BlockSignature | None) -> dict[str, Any]:
        # Put back at last: what is set aside may have names that no pin can have.
        constants = without_secrets(_with_set_aside(node), block, withheld=self._withheld(node))
        if block is None or block.kind is not Kind.NESTED:
            return constants
        constants.pop(OWNER, None)
        ref = read_ref(constants)
        if ref is None:
            return constants
        version = ref.version or self._active.get(ref.graph_id)
        nested = None if version is None else self._nested.get((ref.graph_id, version))
        if nested is None:
            return constants
        return {
            **constants,
            GRAPH_ID: str(nested.id),
            GRAPH_VERSION: nested.version,
            **self._schemas_of(nested),
        }

    def _schemas_of(self, agent: SavedAgent) -> dict[str, Any]:
        """Return the schemas of what a graph takes and gives, as they are of what goes out."""
        return {
            "input_schema": input_schema(agent.definition, self._signatures),
            "output_schema": output_schema(agent.definition, self._signatures),
        }


def _with_set_aside(node: Node) -> Node:
    """Return a node with the constants that an import has set aside back in their place."""
    aside = as_object(node.metadata.get(SET_ASIDE))
    if not aside:
        return node
    constants = aside | dict(node.input_default)
    if isinstance(aside.get(INPUTS), Mapping) and isinstance(node.input_default.get(INPUTS), Mapping):
        constants[INPUTS] = {**aside[INPUTS], **node.input_default[INPUTS]}
    return replace(node, input_default=constants)


def _write_link(link: Link) -> dict[str, Any]:
    return {
        "id": link.id,
        "source_id": link.source_id,
        "sink_id": link.sink_id,
        "source_name": link.source_name,
        "sink_name": link.sink_name,
        "is_static": link.is_static,
    }


def _id_of(node: Node, block: BlockSignature | None) -> str:
    return node.block_id if block is None else block.id


def _name_of(node: Node, block: BlockSignature | None) -> str:
    return BLOCK_NAMES.get(node.block_id, "") if block is None else block.name

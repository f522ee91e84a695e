"""Writes a saved graph, with all that is nested in it, as an agent file: the form that an import takes again.

No secret goes out: constants whose names sound like one, fields that hold one and values of secret inputs stay here.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, get_args

from pydantic import SecretStr

from app.autogpt.block_names import BLOCK_NAMES
from app.autogpt.constants import OWN_MARKS, OWNER, SET_ASIDE
from app.autogpt.reading import as_object
from app.graph.definition import GraphDefinition, Link, Node
from app.graph.interface import input_schema, output_schema
from app.graph.nesting import GRAPH_ID, GRAPH_VERSION, INPUTS, read_ref
from app.graph.pins import PinNameInvalid, base_name
from app.graph.signature import BlockSignature, Kind
from app.graph.validation import Signatures
from app.graph.wording import is_secret_name

REVIEW_BLOCK = "8b2a7b3c-6e9d-4a5f-8c1b-2e3f4a5b6c7d"
TRIGGERS = ("TriggerBlock", "WebhookBlock")
"""How the names of blocks end that something outside sets off."""
HARMLESS = frozenset({"max_tokens"})
"""Numbers whose name sounds like a secret and is none."""
_NO_VALUE = object()
MAX_COPIED_LINKS = 2_000
"""Nodes repeat their links in a file, unless there are more: it would become too large to be imported again."""


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
    stripped = [_without_secrets(each, signatures) for each in (agent, *nested)]
    writing = _Writing(
        {(each.id, each.version): each for each in stripped[1:]},
        signatures,
        active,
        copies_links=sum(len(each.definition.links) for each in stripped) <= MAX_COPIED_LINKS,
    )
    document, *sub_graphs = map(writing.write, stripped)
    document["sub_graphs"] = sub_graphs
    return document


def _without_secrets(agent: SavedAgent, signatures: Signatures) -> SavedAgent:
    nodes = tuple(
        replace(node, input_default=without_secrets(node, signatures.get(node.block_id)))
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
        *,
        copies_links: bool,
    ) -> None:
        self._nested = nested
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
        constants = without_secrets(_with_set_aside(node), block)
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


def without_secrets(node: Node, block: BlockSignature | None) -> dict[str, Any]:
    """Return a node's constants without what is secret or may be.

    Args:
        node: The node.
        block: Its block; None for one that does not exist.
    """
    is_secret_port = (
        block is not None
        and block.kind in (Kind.INPUT, Kind.OUTPUT)
        and node.input_default.get("secret") not in (None, False)
    )
    kept = {}
    for name, value in node.input_default.items():
        base = _base(name)
        if (is_secret_port and base == "value") or (block is not None and _holds_secret(block, base)):
            continue
        stripped = _strip(name, value)
        if stripped is not _NO_VALUE:
            kept[name] = stripped
    return kept


def _strip(name: str, value: Any) -> Any:
    """Return a value without what is named like a secret, or `_NO_VALUE` if it is named so itself."""
    is_number = isinstance(value, int | float)
    if is_secret_name(name) and not isinstance(value, bool) and not (name in HARMLESS and is_number):
        return _NO_VALUE
    return _strip_inside(value)


def _strip_inside(value: Any) -> Any:
    if isinstance(value, dict):
        parts = ((key, _strip(key, part)) for key, part in value.items())
        return {key: part for key, part in parts if part is not _NO_VALUE}
    if isinstance(value, list):
        return [_strip_inside(part) for part in value]
    return value


def _holds_secret(block: BlockSignature, base: str) -> bool:
    pin = block.inputs.get(base)
    return pin is not None and (pin.annotation is SecretStr or SecretStr in get_args(pin.annotation))


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


def _base(name: str) -> str:
    try:
        return base_name(name)
    except PinNameInvalid:
        return name

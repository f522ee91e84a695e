"""Nodes whose block does not exist here: kept with a mark, so that the rest of an imported graph can be used.

Also pins that a block has no more, kept likewise. What a placeholder does when it fires: `app.blocks.placeholders`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.graph.definition import Node
from app.graph.signature import BlockSignature, Kind, Lane

MISSING_BLOCK = "missing_block"
"""The metadata of a node whose block is known to be missing: the block's name, or its id."""
FORMER_PINS = "former_pins"
"""The metadata of a node with links to pins that its block has no more: `{"inputs": [...], "outputs": [...]}`."""

PLACEHOLDER = BlockSignature(
    id="",
    slug="",
    name="Placeholder",
    kind=Kind.STANDARD,
    lane=Lane.LOCAL,
    pool="",
    inputs={},
    outputs=frozenset({"error"}),
    takes_any_input=True,
    gives_any_output=True,
)
"""What stands in a plan for a block that does not exist."""


def missing_block_of(node: Node) -> str | None:
    """Return what a node says of its missing block, or None when it says nothing."""
    name = node.metadata.get(MISSING_BLOCK)
    return name if isinstance(name, str) and name else None


def stand_in(node: Node, block: BlockSignature | None) -> BlockSignature | None:
    """Return a node's block, or the placeholder where there is none and the node says so."""
    if block is None and missing_block_of(node) is not None:
        return PLACEHOLDER
    return block


@dataclass(frozen=True, slots=True)
class FormerPins:
    """Pins that links may name although the block has them no more. What is fed to one is dropped."""

    inputs: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()


NO_PINS = FormerPins()


def former_pins(node: Node) -> FormerPins:
    """Return what a node says of pins that its block has no more."""
    pins = node.metadata.get(FORMER_PINS)
    if not isinstance(pins, Mapping):
        return NO_PINS
    return FormerPins(_texts(pins.get("inputs")), _texts(pins.get("outputs")))


def _texts(given: Any) -> frozenset[str]:
    return (
        frozenset(text for text in given if isinstance(text, str)) if isinstance(given, list) else frozenset()
    )

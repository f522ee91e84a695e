"""What is secret in a node, or may be, and so is left out when a graph goes out.

Names decide, what a block says of its inputs, and what an author says of an input of a graph.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, get_args

from pydantic import SecretStr

from app.graph.definition import GraphDefinition, Node
from app.graph.nesting import INPUTS
from app.graph.node_checks import NAME
from app.graph.pins import PinNameInvalid, base_name
from app.graph.signature import BlockSignature, Kind
from app.graph.validation import Signatures
from app.graph.wording import is_secret_name

HARMLESS = frozenset({"max_tokens"})
"""Numbers whose name sounds like a secret and is none."""
_VALUE = "value"
_NO_VALUE = object()
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^\s/?#@:{}]*:[^\s/?#@{}]*@")
"""A user and a password before the host. Placeholders are none."""


def without_secrets(
    node: Node, block: BlockSignature | None, *, withheld: Collection[str] = ()
) -> dict[str, Any]:
    """Return a node's constants without what is secret or may be.

    Args:
        node: The node.
        block: Its block; None for one that does not exist.
        withheld: The inputs of the graph that it executes which are secret there.
    """
    is_port = block is not None and _is_secret_port(node, block)
    kept = {}
    for name, value in node.input_default.items():
        base = _base(name)
        if (is_port and base == _VALUE) or (block is not None and _holds_secret(block, base)):
            continue
        if base in withheld:
            continue
        stripped = _strip(name, _without(withheld, value) if name == INPUTS else value)
        if stripped is not _NO_VALUE:
            kept[name] = stripped
    return kept


def metadata_without_secrets(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node's metadata without what is named like a secret."""
    stripped: dict[str, Any] = _strip_inside(dict(metadata))
    return stripped


def list_secret_inputs(graph: GraphDefinition, signatures: Signatures) -> set[str]:
    """Return the names of the inputs of a graph whose values are secret."""
    names = set()
    for node in graph.nodes:
        block = signatures.get(node.block_id)
        name = node.input_default.get(NAME)
        if block is not None and block.kind is Kind.INPUT and isinstance(name, str):
            names |= {name} if _is_secret_port(node, block) else set()
    return names


def _is_secret_port(node: Node, block: BlockSignature) -> bool:
    if block.kind not in (Kind.INPUT, Kind.OUTPUT):
        return False
    name = node.input_default.get(NAME)
    is_named_so = isinstance(name, str) and name not in HARMLESS and is_secret_name(name)
    return is_named_so or node.input_default.get("secret") not in (None, False)


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
    return _PASSWORD_IN_URL.sub("", value) if isinstance(value, str) else value


def _without(withheld: Collection[str], inputs: Any) -> Any:
    if not isinstance(inputs, Mapping):
        return inputs
    return {name: value for name, value in inputs.items() if _base(name) not in withheld}


def _holds_secret(block: BlockSignature, base: str) -> bool:
    pin = block.inputs.get(base)
    return pin is not None and (pin.annotation is SecretStr or SecretStr in get_args(pin.annotation))


def _base(name: str) -> str:
    try:
        return base_name(name)
    except PinNameInvalid:
        return name

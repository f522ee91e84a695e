"""Checks one node at a time: its constants, the inputs it needs, the name it gives to a run input or output."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from app.graph.annotations import annotation_at
from app.graph.coercion import is_faithful
from app.graph.definition import Node
from app.graph.pins import PinNameInvalid, fold, is_dynamic, split_pin
from app.graph.problems import Problems
from app.graph.signature import BlockSignature, Kind
from app.graph.wording import is_credentials, misfit, quoted

NAME = "name"


def check_constants(node: Node, block: BlockSignature, problems: Problems, *, is_lenient: bool) -> None:
    """Find constants that the block does not know or that are of another type.

    Args:
        node: The node.
        block: Its block.
        problems: Where the problems go.
        is_lenient: Whether only impossible names count: older graphs keep values that are never read.
    """
    is_hidden = node.input_default.get("secret") is True
    for name, value in node.input_default.items():
        try:
            base, steps = (name, ()) if name in block.inputs else split_pin(name)
        except PinNameInvalid as error:
            problems.add(node.id, name, error.message)
            continue
        if is_lenient:
            continue
        pin = block.inputs.get(base)
        if pin is None:
            if not block.takes_any_input:
                problems.add(node.id, name, f"This block has no input {quoted(base)}")
            continue
        if value is None or is_credentials(base):
            continue
        wanted = annotation_at(pin.annotation, steps)
        if not is_faithful(value, wanted):
            is_secret = is_hidden and block.kind in (Kind.INPUT, Kind.OUTPUT) and base == "value"
            problems.add(node.id, name, misfit(name, value, wanted, is_secret=is_secret))
    if not is_lenient and node.id not in problems.node_errors:
        _check_folding(node, problems)


def _check_folding(node: Node, problems: Problems) -> None:
    try:
        if any(map(is_dynamic, node.input_default)):
            fold(node.input_default)
    except PinNameInvalid as error:
        problems.add(node.id, "input_default", error.message)


def check_required(node: Node, block: BlockSignature, linked: Collection[str], problems: Problems) -> None:
    """Find inputs that the block needs and nothing can supply.

    Args:
        node: The node.
        block: Its block. The run supplies an input block, and credentials.
        linked: The fields of the node that links lead to.
        problems: Where the problems go.
    """
    if block.kind is Kind.INPUT:
        return
    given = given_fields(node.input_default)
    for name in block.inputs:
        if not block.inputs[name].is_required or is_credentials(name):
            continue
        if name not in linked and name not in given:
            problems.add(node.id, name, f"{quoted(name)} is required: link it or give it a value")


def check_is_on(node: Node, block: BlockSignature, problems: Problems) -> None:
    """Find a block that is turned off."""
    if block.off_because:
        problems.add(node.id, "block_id", block.off_because)


def given_fields(constants: Mapping[str, Any]) -> set[str]:
    """Return the fields that constants supply, be it in parts. A null supplies nothing."""
    fields = set[str]()
    for name, value in constants.items():
        if value is None:
            continue
        fields.add(name)
        try:
            fields.add(split_pin(name)[0])
        except PinNameInvalid:
            # Reported where the constants are checked.
            continue
    return fields


def check_name(node: Node, block: BlockSignature, linked: Collection[str], problems: Problems) -> None:
    """Find run inputs and outputs without a usable name.

    Args:
        node: The node.
        block: Its block. One that passes every run input on needs no name.
        linked: The fields of the node that links lead to; an output's name may come over a link.
        problems: Where the problems go.
    """
    if NAME not in block.inputs or block.takes_any_input:
        return
    name = node.input_default.get(NAME)
    if block.kind is Kind.INPUT:
        if not isinstance(name, str) or not name.strip():
            problems.add(node.id, NAME, "An input needs a name that is not empty")
        elif is_credentials(name):
            problems.add(node.id, NAME, f"The name {quoted(name)} is reserved for credentials")
    elif block.kind is Kind.OUTPUT and NAME not in linked and (not isinstance(name, str) or not name.strip()):
        problems.add(node.id, NAME, "An output needs a name that is not empty")

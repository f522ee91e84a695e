"""Makes the constants and the metadata of one node what its block takes. What is not taken is kept out of the way."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from app.autogpt.former_names import FILL_TEMPLATE, TEMPLATES, constant_now
from app.autogpt.report import Code, GraphReport
from app.autogpt.rules import Rules
from app.graph.definition import Node
from app.graph.nesting import MASKS
from app.graph.node_checks import NAME
from app.graph.pins import PinNameInvalid, fold, is_dynamic, split_pin
from app.graph.placeholders import FORMER_PINS, MISSING_BLOCK
from app.graph.signature import BlockSignature, Kind, RetryPolicy
from app.graph.validation import SettingInvalid, parse_delivery, parse_retry, parse_timeout
from app.graph.wording import is_credentials, quoted

SET_ASIDE = "set_aside"
"""The metadata that keeps constants which the block does not take: `{name: value}`."""
OWN_MARKS = (MISSING_BLOCK, FORMER_PINS, SET_ASIDE)
"""Metadata that an import makes; a file has none of it."""
OWNER = "user_id"
"""Of a nested graph: the importer's from now on."""

OLLAMA = "ollama_host"
"""An input that every block has which asks a language model."""

_SETTINGS = {
    "retry": lambda metadata: parse_retry(metadata, RetryPolicy()),
    "timeout_seconds": lambda metadata: parse_timeout(metadata, 1.0),
    "delivery": parse_delivery,
}
_SINGLE_BRACES = re.compile(r"(?<!\{)\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}(?!\})")


def repair_metadata(node: Node, report: GraphReport) -> dict[str, Any]:
    """Return a node's metadata without what cannot stand in it."""
    metadata = {key: value for key, value in node.metadata.items() if key not in OWN_MARKS}
    for setting, parse in _SETTINGS.items():
        try:
            parse(metadata)
        except SettingInvalid as error:
            del metadata[setting]
            report.note(Code.METADATA_REMOVED, f"'{setting}' is left out: {error.message}", node_id=node.id)
    return metadata


def repair_constants(
    node: Node, block: BlockSignature | None, fed: Collection[str], rules: Rules, report: GraphReport
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a node's constants, and those that are set aside.

    Args:
        node: The node, with the id that its block has now.
        block: Its block; None for one that does not exist.
        fed: The pins that links lead to.
        rules: What the installation has.
        report: Where it is told what was changed.
    """
    taken: dict[str, Any] = {}
    aside: dict[str, Any] = {}
    declared = block.inputs if block is not None else {}
    for given_name, value in node.input_default.items():
        name = constant_now(node.block_id, given_name, declared)
        if name != given_name and _is_said(node.input_default.get(name)):
            name = given_name
        elif name != given_name:
            report.note(Code.CONSTANT_RENAMED, f"{quoted(given_name)} is {quoted(name)} now", node_id=node.id)
        if is_credentials(name):
            if _is_said(value):
                report.note(
                    Code.CREDENTIALS_REMOVED,
                    f"{quoted(name)} is chosen when the graph is executed",
                    node_id=node.id,
                )
        elif _is_taken(name, block):
            taken[name] = value
        elif not (block is not None and block.kind is Kind.NESTED and name == OWNER):
            aside[name] = value
            if _is_said(value):
                report.note(
                    Code.CONSTANT_SET_ASIDE,
                    f"The block has no input {quoted(name)}; it is kept in the node's metadata",
                    node_id=node.id,
                )
    _set_aside_what_clashes(node, taken, aside, report)
    if block is not None:
        _name_port(node, block, taken, fed, report)
        _check_model(node, block, taken, rules, report)
    return taken, aside


def rewrite_templates(
    node: Node, block: BlockSignature, fed: Collection[str], report: GraphReport
) -> dict[str, Any]:
    """Return a node's constants with the old templates in them as they are written now: `{x}` is `{{x}}`.

    A template that has double braces is one of today. In an old one only names are rewritten that the node is given
    values for: everything else in single braces is text.
    """
    constants = dict(node.input_default)
    for field, values in _templates_of(node, block):
        template = constants.get(field)
        if not isinstance(template, str) or "{{" in template or "{%" in template:
            continue
        names = {constants.get(NAME)} if values == NAME else _names_in(values, constants, fed)
        constants[field] = _with_double_braces(template, names)
        if constants[field] != template:
            report.note(Code.TEMPLATE_REWRITTEN, f"{quoted(field)} has double braces now", node_id=node.id)
    return constants


def _with_double_braces(template: str, names: Collection[Any] | None) -> str:
    def rewrite(found: re.Match[str]) -> str:
        return f"{{{{{found[1]}}}}}" if names is None or found[1] in names else found[0]

    return _SINGLE_BRACES.sub(rewrite, template)


def _templates_of(node: Node, block: BlockSignature) -> Iterable[tuple[str, str]]:
    """Give the fields that hold templates, and the field with their values; an output's value has its name."""
    if block.kind is Kind.OUTPUT:
        yield "format", NAME
    elif node.block_id == FILL_TEMPLATE:
        yield "format", "values"
    else:
        for field, values in TEMPLATES.items():
            if field in block.inputs and values in block.inputs:
                yield field, values


def _names_in(field: str, constants: Mapping[str, Any], fed: Collection[str]) -> set[Any] | None:
    """Return the names that a template is given values for; None for any, when they come over a link."""
    if field in fed:
        return None
    values = constants.get(field)
    names = set(values) if isinstance(values, Mapping) else set()
    for name in [*constants, *fed]:
        base, steps = split_pin(name)
        if base == field and steps:
            names.add(steps[0].key)
    return names


def _is_said(value: Any) -> bool:
    return value is not None and value not in ("", [], {})


def _is_taken(name: str, block: BlockSignature | None) -> bool:
    if block is None:
        return _is_possible(name)
    if block.kind is Kind.NESTED:
        return name in block.inputs and name not in (OWNER, MASKS)
    if name in block.inputs or block.takes_any_input:
        return _is_possible(name)
    return _is_possible(name) and split_pin(name)[0] in block.inputs


def _is_possible(name: str) -> bool:
    try:
        split_pin(name)
    except PinNameInvalid:
        return False
    return True


def _set_aside_what_clashes(
    node: Node, taken: dict[str, Any], aside: dict[str, Any], report: GraphReport
) -> None:
    """Set names aside that lead into a value of another kind."""
    dynamic = [name for name in taken if is_dynamic(name)]
    try:
        if dynamic:
            fold(taken)
    except PinNameInvalid as error:
        aside |= {name: taken.pop(name) for name in dynamic}
        report.note(Code.CONSTANT_SET_ASIDE, error.message, node_id=node.id)


def _name_port(
    node: Node,
    block: BlockSignature,
    constants: dict[str, Any],
    fed: Collection[str],
    report: GraphReport,
) -> None:
    """See to it that a run input or output has a name that it can have."""
    if block.kind not in (Kind.INPUT, Kind.OUTPUT) or NAME not in block.inputs or block.takes_any_input:
        return
    name = constants.get(NAME)
    is_input = block.kind is Kind.INPUT
    if isinstance(name, str) and name.strip():
        if not (is_input and is_credentials(name)):
            return
        constants[NAME] = f"{name}_input"
    elif not is_input and NAME in fed:
        return
    else:
        constants[NAME] = "input" if is_input else "output"
    message = f"It is named {quoted(constants[NAME])}: its name was empty or is reserved"
    report.note(Code.NAME_CHANGED, message, node_id=node.id)


def _check_model(
    node: Node, block: BlockSignature, constants: Mapping[str, Any], rules: Rules, report: GraphReport
) -> None:
    model = constants.get("model")
    is_llm = OLLAMA in block.inputs or any(
        need.discriminator == "model" for need in block.credentials.values()
    )
    if is_llm and isinstance(model, str) and model and not rules.is_known_model(model):
        message = f"No provider is known for the model {quoted(model)}; another one is asked in its place"
        report.note(Code.MODEL_UNKNOWN, message, node_id=node.id)

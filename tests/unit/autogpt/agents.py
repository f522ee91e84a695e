"""Agent files for tests: the fixtures, and a short way to write one."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app.autogpt.importing import ImportedAgent, ImportedGraph, read_agent
from app.autogpt.rules import Rules
from app.blocks.registry import make_registry
from app.graph.definition import Node

FIXTURES = Path(__file__).parents[2] / "fixtures" / "agents"
SIGNATURES = make_registry().signatures

STORE = "1ff065e9-88e8-4358-9d82-8dc91f622ba9"
INPUT = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b"
OUTPUT = "363ae599-353e-4804-937e-b2ee3cef3da4"
FILL = "db7d8f02-2f44-4c55-ab7a-eae0941f0c30"
AGENT = "e189baac-8c20-45a1-94a7-55177ea42565"
NOTE = "cc10ff7b-7753-4ff2-9af6-9399b1a7eddc"
CALCULATOR = "b1ab9b19-67a6-406d-abf5-2dba76d00c79"


def counting_ids() -> Callable[[], uuid.UUID]:
    """Return a maker of ids that are the same in every run."""
    numbers = itertools.count(1)
    return lambda: uuid.UUID(int=next(numbers))


def make_rules(**changes: Any) -> Rules:
    """Return the rules of an installation with our own blocks; `changes` are fields of them."""
    given: dict[str, Any] = {
        "signatures": SIGNATURES,
        "make_id": counting_ids(),
        "clean": str.strip,
        "max_name": 100,
        "max_description": 1_000,
        "is_known_model": lambda model: model.startswith("gpt-"),
    }
    return Rules(**given | changes)


def node(id: str, block_id: str = STORE, /, **constants: Any) -> dict[str, Any]:
    """Return a node of a file."""
    return {"id": id, "block_id": block_id, "input_default": constants, "metadata": {}}


def link(text: str, **more: Any) -> dict[str, Any]:
    """Return a link of a file, written as `a.output -> b.input`."""
    (source_id, source_name), (sink_id, sink_name) = (end.strip().split(".", 1) for end in text.split("->"))
    ends = {"source_id": source_id, "sink_id": sink_id, "source_name": source_name, "sink_name": sink_name}
    return {"id": "", **ends, "is_static": False, **more}


def agent(*parts: Mapping[str, Any] | str, **fields: Any) -> dict[str, Any]:
    """Return a file of nodes and links; a text is a link."""
    links = [
        link(part) if isinstance(part, str) else part
        for part in parts
        if isinstance(part, str) or "sink_id" in part
    ]
    nodes = [part for part in parts if not isinstance(part, str) and "sink_id" not in part]
    return {"id": "old", "version": 1, "name": "An agent", "nodes": nodes, "links": links} | fields


def imported(document: Mapping[str, Any], **changes: Any) -> ImportedAgent:
    """Import a file with our own blocks; `changes` are fields of the rules."""
    return read_agent(document, make_rules(**changes))


def root_of(agent: ImportedAgent) -> ImportedGraph:
    """Return the graph that a file is of."""
    return next(graph for graph in agent.graphs if graph.id == agent.graph_id)


def nodes_of(agent: ImportedAgent) -> dict[str, Node]:
    """Return the nodes of that graph by id."""
    return {node.id: node for node in root_of(agent).definition.nodes}


def codes_of(agent: ImportedAgent) -> list[str]:
    """Return what the report tells of, in order."""
    return [change.code.value for change in agent.report.changes]


def fixture(name: str) -> dict[str, Any]:
    """Return an agent file of the fixtures."""
    document: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return document


def fixture_names() -> list[str]:
    """Return the names of all agent files of the fixtures."""
    return sorted(path.stem for path in FIXTURES.glob("*.json"))

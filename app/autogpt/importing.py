"""Reads an exported agent file, of any age and unmodified, into graphs that can be saved here."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.autogpt.reading import FileGraph, as_text, as_version, read_definition, read_graphs
from app.autogpt.repairs import repair_graph
from app.autogpt.report import Change, Code, GraphReport, Report
from app.autogpt.rules import Rules
from app.autogpt.sub_graphs import RepairedGraph, connect
from app.graph.definition import GraphDefinition
from app.graph.interface import recompute_static

UNNAMED = "Imported agent"
SINCE_TEMPLATES = "has_sensitive_action"
"""A field of files that are younger than templates in double braces."""


@dataclass(frozen=True, slots=True)
class ImportedGraph:
    """A graph that is to be saved."""

    id: uuid.UUID
    name: str
    description: str
    definition: GraphDefinition
    extras: dict[str, Any]
    """What the file says of the graph besides: `instructions` and the like."""
    report: GraphReport


@dataclass(frozen=True, slots=True)
class ImportedAgent:
    """All that is in a file."""

    graph_id: uuid.UUID
    """Of the graph that the file is of."""
    graphs: list[ImportedGraph]
    """That graph and all that are nested in it, each after those that it executes."""
    report: Report


def read_agent(document: Mapping[str, Any], rules: Rules) -> ImportedAgent:
    """Read an agent file.

    Args:
        document: The file.
        rules: What the installation has.

    Raises:
        GraphInvalid: It holds no graph, or one that cannot be.
    """
    report = Report()
    root, nested, ignored = read_graphs(document)
    for message in ignored:
        report.add(Change(Code.SUB_GRAPH_IGNORED, message))
    is_recent = SINCE_TEMPLATES in document
    repaired = [_repair(graph, rules, report, is_recent=is_recent) for graph in (root, *nested)]
    connected = connect(repaired, rules.signatures)
    return ImportedAgent(repaired[0].id, [_finish(graph, rules) for graph in connected], report)


def _repair(file: FileGraph, rules: Rules, report: Report, *, is_recent: bool) -> RepairedGraph:
    graph_id = rules.make_id()
    about = report.about(str(graph_id))
    definition = read_definition(file.document, about, make_id=rules.make_id)
    repaired = repair_graph(definition, rules, about, is_recent=is_recent)
    return RepairedGraph(file, graph_id, recompute_static(repaired, rules.signatures), about)


def _finish(graph: RepairedGraph, rules: Rules) -> ImportedGraph:
    document = graph.file.document
    return ImportedGraph(
        id=graph.id,
        name=_read_name(as_text(document.get("name")), rules, graph.report),
        description=_read_description(as_text(document.get("description")), rules, graph.report),
        definition=graph.definition,
        extras=_read_extras(document, rules),
        report=graph.report,
    )


def _read_name(given: str, rules: Rules, report: GraphReport) -> str:
    name = rules.clean(" ".join(given.split()))
    if not name:
        report.note(Code.NAME_CHANGED, f"It had no name and is called '{UNNAMED}'")
        return UNNAMED
    if len(name) > rules.max_name:
        report.note(Code.NAME_CHANGED, f"Its name was cut to {rules.max_name} characters")
    return name[: rules.max_name].strip()


def _read_description(given: str, rules: Rules, report: GraphReport) -> str:
    description = rules.clean(given)
    if len(description) > rules.max_description:
        message = f"Its description was cut to {rules.max_description} characters"
        report.note(Code.DESCRIPTION_SHORTENED, message)
    return description[: rules.max_description].strip()


def _read_extras(document: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    read = {
        "instructions": rules.clean(as_text(document.get("instructions"))),
        "recommended_schedule_cron": rules.clean(as_text(document.get("recommended_schedule_cron"))),
        "forked_from_id": rules.clean(as_text(document.get("forked_from_id"))),
        "forked_from_version": as_version(document.get("forked_from_version")),
    }
    return {name: value for name, value in read.items() if value}

"""Reads the shape of an agent file, of whatever age: its graphs, their nodes and links.

Fields that are null, missing or of another type are read as empty where that can be; what they mean is not judged here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from app.autogpt.report import Code, GraphReport
from app.errors import GraphInvalid
from app.graph.definition import GraphDefinition, Link, Node
from app.graph.nesting import MAX_NESTED, MAX_VERSION
from app.graph.pins import PinNameInvalid, base_name
from app.graph.problems import GRAPH
from app.graph.validation import MAX_LINKS, MAX_NODES
from app.graph.wording import quoted

MAX_ID_LENGTH = 500
"""Of the ids and pin names of nodes and links, as everywhere in the API."""

MakeId: TypeAlias = Callable[[], uuid.UUID]


@dataclass(frozen=True, slots=True)
class FileGraph:
    """A graph as it stands in a file."""

    id: str
    """The id that it has in the file; empty for none."""
    version: int
    document: Mapping[str, Any]


def read_graphs(document: Mapping[str, Any]) -> tuple[FileGraph, list[FileGraph], list[str]]:
    """Return the graph of a file, those that are nested in it, and what was found among these that is none.

    Raises:
        GraphInvalid: There are too many.
    """
    nested: list[FileGraph] = []
    ignored: list[str] = []
    for entry in _sub_graphs(document):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("nodes"), list):
            ignored.append("An entry of the file's sub-graphs has no nodes and is left out")
            continue
        graph = _file_graph(entry)
        if any((graph.id, graph.version) == (other.id, other.version) for other in nested):
            ignored.append(f"The file holds the sub-graph {quoted(graph.id)} twice; the first one is taken")
            continue
        nested.append(graph)
        if len(nested) > MAX_NESTED:
            raise GraphInvalid({GRAPH: {"sub_graphs": f"A file can hold {MAX_NESTED} sub-graphs"}})
    return _file_graph(document), nested, ignored


def read_definition(document: Mapping[str, Any], report: GraphReport, *, make_id: MakeId) -> GraphDefinition:
    """Read the nodes and links of a graph. Links that lead nowhere are left out, and missing ids made.

    Args:
        document: A graph of a file.
        report: Where it is told what was changed.
        make_id: Makes ids for nodes that have none.

    Raises:
        GraphInvalid: Its nodes cannot be read.
    """
    nodes = _read_nodes(document.get("nodes"), report, make_id)
    return GraphDefinition(
        nodes, tuple(_read_links(document.get("links"), {node.id for node in nodes}, report))
    )


def as_text(value: Any) -> str:
    """Return a text, or an empty one for anything else."""
    return value if isinstance(value, str) else ""


def as_object(value: Any) -> dict[str, Any]:
    """Return an object, or an empty one for anything else."""
    return dict(value) if isinstance(value, Mapping) else {}


def as_version(value: Any) -> int | None:
    """Return the number of a version, or None for anything else."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 1 <= value <= MAX_VERSION else None


def _file_graph(document: Mapping[str, Any]) -> FileGraph:
    return FileGraph(as_text(document.get("id")).lower(), as_version(document.get("version")) or 1, document)


def _sub_graphs(document: Mapping[str, Any]) -> Iterator[Any]:
    """Give the sub-graphs at all depths. They are a list, or an object in which each stands under its id."""
    for key in ("sub_graphs", "subgraphs"):
        entries = document.get(key)
        if isinstance(entries, Mapping):
            # In the first files a sub-graph was a list of nodes that stand in the graph itself.
            entries = [
                {"id": entry_id, **entry} for entry_id, entry in entries.items() if isinstance(entry, Mapping)
            ]
        for entry in entries if isinstance(entries, list) else ():
            yield entry
            if isinstance(entry, Mapping):
                yield from _sub_graphs(entry)


def _read_nodes(entries: Any, report: GraphReport, make_id: MakeId) -> tuple[Node, ...]:
    if not isinstance(entries, list) or not entries:
        raise GraphInvalid({GRAPH: {"nodes": "A graph needs a list of nodes"}})
    if len(entries) > MAX_NODES:
        raise GraphInvalid({GRAPH: {"nodes": f"A graph can have {MAX_NODES} nodes; one has {len(entries)}"}})
    nodes = []
    ids = set[str]()
    for position, entry in enumerate(entries):
        block_id = as_text(entry.get("block_id")) if isinstance(entry, Mapping) else ""
        if not 1 <= len(block_id) <= MAX_ID_LENGTH:
            raise GraphInvalid({GRAPH: {"nodes": f"Node number {position + 1} names no block"}})
        node_id = as_text(entry.get("id"))
        if len(node_id) > MAX_ID_LENGTH:
            raise GraphInvalid({GRAPH: {"nodes": f"The id of node number {position + 1} is too long"}})
        if not node_id or node_id in ids:
            # Links that name an id which two nodes have go to the first of them.
            given, node_id = node_id, str(make_id())
            reason = f"the id {quoted(given)} of another" if given else "no id"
            report.note(Code.ID_MADE, f"Node number {position + 1} had {reason}", node_id=node_id)
        ids.add(node_id)
        nodes.append(
            Node(node_id, block_id, as_object(entry.get("input_default")), as_object(entry.get("metadata")))
        )
    return tuple(nodes)


def _read_links(entries: Any, node_ids: set[str], report: GraphReport) -> Iterator[Link]:
    entries = entries if isinstance(entries, list) else []
    if len(entries) > MAX_LINKS:
        raise GraphInvalid({GRAPH: {"links": f"A graph can have {MAX_LINKS} links; one has {len(entries)}"}})
    ids = set[str]()
    for position, entry in enumerate(entries):
        link = _read_link(entry) if isinstance(entry, Mapping) else None
        problem = "it cannot be read" if link is None else _problem_of(link, node_ids)
        if link is None or problem is not None:
            report.note(Code.LINK_REMOVED, f"Link number {position + 1} is left out: {problem}")
            continue
        if link.id in ids or len(link.id) > MAX_ID_LENGTH:
            report.note(Code.ID_MADE, f"Link number {position + 1} had the id of another, or one too long")
            link = replace(link, id="")
        if link.id:
            ids.add(link.id)
        yield link


def _read_link(entry: Mapping[str, Any]) -> Link:
    return Link(
        source_id=as_text(entry.get("source_id")),
        sink_id=as_text(entry.get("sink_id")),
        source_name=as_text(entry.get("source_name")),
        sink_name=as_text(entry.get("sink_name")),
        id=as_text(entry.get("id")),
        is_static=entry.get("is_static") is True,
    )


def _problem_of(link: Link, node_ids: set[str]) -> str | None:
    for node_id, name in ((link.source_id, link.source_name), (link.sink_id, link.sink_name)):
        if node_id not in node_ids:
            return f"{quoted(node_id)} is no node"
        if not 1 <= len(name) <= MAX_ID_LENGTH:
            return f"at {quoted(node_id)} it names no pin"
        try:
            base_name(name)
        except PinNameInvalid as error:
            return error.message
    return None

"""What an import tells: what was changed, which blocks are missing. Every change has a code that stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Code(StrEnum):
    """What kind of change it is, or what is to be known."""

    BLOCK_DISABLED = "block_disabled"
    """The block exists and is turned off here: the node fails when it fires."""
    BLOCK_ID_REPLACED = "block_id_replaced"
    """An id that a block had once."""
    BLOCK_MISSING = "block_missing"
    """There is no such block here: the node fails when it fires."""
    CONSTANT_RENAMED = "constant_renamed"
    CONSTANT_SET_ASIDE = "constant_set_aside"
    """The block has no such input: kept in the node's metadata, and written back by an export."""
    CREDENTIALS_REMOVED = "credentials_removed"
    """They were of another installation: choose others when the graph is executed."""
    DESCRIPTION_SHORTENED = "description_shortened"
    GRAPH_MISSING = "graph_missing"
    """A graph that a node executes is not in the file, and the owner has none of this id."""
    ID_MADE = "id_made"
    LINK_REMOVED = "link_removed"
    """It led nowhere."""
    METADATA_REMOVED = "metadata_removed"
    MODEL_UNKNOWN = "model_unknown"
    """No provider serves a model of this name: another one is asked in its place."""
    MORE_CHANGES = "more_changes"
    """The report ends here."""
    NAME_CHANGED = "name_changed"
    NO_START = "no_start"
    """Every node waits for another: nothing would happen."""
    PIN_MISSING = "pin_missing"
    """The block has no such pin: the link stays, and nothing goes over it or what does is dropped."""
    PIN_RENAMED = "pin_renamed"
    PINS_DIFFER = "pins_differ"
    """What a node gives to or takes from a nested graph is not what that graph has."""
    SUB_GRAPH_IGNORED = "sub_graph_ignored"
    """It is no graph, or a second one of the same id and version."""
    TEMPLATE_REWRITTEN = "template_rewritten"
    """From single to double braces."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that an import did, or that its owner should know."""

    code: Code
    message: str
    graph_id: str | None = None
    """Of the graph that was made; None for the file as a whole."""
    node_id: str | None = None


@dataclass(frozen=True, slots=True)
class MissingBlock:
    """A node whose block does not exist here."""

    graph_id: str
    node_id: str
    block_id: str
    name: str | None
    """What the block is called, if that is known."""


MAX_CHANGES = 10_000
"""Of one report: a small file can have very many mistakes in it."""


@dataclass(slots=True)
class Report:
    """What an import tells, in the order in which it was found; no more than somebody can read."""

    changes: list[Change] = field(default_factory=list)
    missing_blocks: list[MissingBlock] = field(default_factory=list)

    def add(self, change: Change) -> None:
        """Add a change; when there are too many, only that there are more."""
        if len(self.changes) < MAX_CHANGES:
            self.changes.append(change)
        elif len(self.changes) == MAX_CHANGES:
            message = f"More than {MAX_CHANGES} things were changed; the others are not told"
            self.changes.append(Change(Code.MORE_CHANGES, message))

    def about(self, graph_id: str) -> GraphReport:
        """Return where one graph's changes go."""
        return GraphReport(self, graph_id)


@dataclass(frozen=True, slots=True)
class GraphReport:
    """Collects what concerns one graph."""

    report: Report
    graph_id: str

    def note(self, code: Code, message: str, *, node_id: str | None = None) -> None:
        """Add a change."""
        self.report.add(Change(code, message, self.graph_id, node_id))

    def note_missing(self, node_id: str, block_id: str, name: str | None) -> None:
        """Add a node whose block does not exist."""
        self.report.missing_blocks.append(MissingBlock(self.graph_id, node_id, block_id, name))

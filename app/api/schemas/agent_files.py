"""Imports of agent files on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from app.api.schemas.graphs import GraphView
from app.autogpt.report import Code, Report


class ChangeView(BaseModel):
    """One thing that was changed in an imported graph, or that is to be known of it."""

    code: Code
    message: str
    graph_id: str | None
    """The graph that was made; null for the file as a whole."""
    node_id: str | None


class MissingBlockView(BaseModel):
    """A node whose block does not exist here: it fails when it fires."""

    node_id: str
    block_id: str
    name: str | None
    """What the block is called, if that is known."""
    graph_id: str


class ReportView(BaseModel):
    """What an import has to tell."""

    changes: list[ChangeView]
    missing_blocks: list[MissingBlockView]
    credentials: dict[str, Any]
    """The credentials that an execution is to be given: the graph's `credentials_input_schema`."""


class ImportView(BaseModel):
    """An imported graph, and what its import has to tell."""

    graph: GraphView
    report: ReportView

    @classmethod
    def of(cls, graph: GraphView, report: Report) -> ImportView:
        """Return an import as it goes out."""
        return cls(
            graph=graph,
            report=ReportView(
                changes=[
                    ChangeView(
                        code=change.code,
                        message=change.message,
                        graph_id=change.graph_id,
                        node_id=change.node_id,
                    )
                    for change in report.changes
                ],
                missing_blocks=[
                    MissingBlockView(
                        node_id=missing.node_id,
                        block_id=missing.block_id,
                        name=missing.name,
                        graph_id=missing.graph_id,
                    )
                    for missing in report.missing_blocks
                ],
                credentials=graph.credentials_input_schema,
            ),
        )

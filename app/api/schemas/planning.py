"""Analyses and estimates of graphs on the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.graphs import JsonObject
from app.api.services.planning import Planned
from app.graph.estimation import WarningCode
from app.graph.suggestions import Suggestion, SuggestionCode


class EstimateBody(BaseModel):
    """The execution to estimate."""

    model_config = ConfigDict(strict=True)

    inputs: JsonObject = Field(default_factory=dict)
    """Run inputs by the names of the input nodes."""
    credentials_inputs: JsonObject = Field(default_factory=dict)
    """Which credentials would be used, as in a call that executes. Calls with the owner's own ones cost nothing."""
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """The active version when left out."""


class BottleneckView(BaseModel):
    """A node that everything goes through, at which ways meet or part."""

    node_id: str
    in_degree: int
    """Nodes that lead to it."""
    out_degree: int
    """Nodes that it leads to."""


class LoopView(BaseModel):
    """Nodes that lead back to themselves."""

    node_ids: list[str]
    has_exit: bool
    """Whether a link leads out of it."""
    is_unbounded: bool = True
    """Nothing in a graph says how often a loop goes round; only the limits of an execution do."""


class SuggestionView(BaseModel):
    """Something that could be better."""

    code: SuggestionCode
    message: str
    node_ids: list[str]

    @classmethod
    def of(cls, suggestion: Suggestion) -> SuggestionView:
        """Return a suggestion as it goes out."""
        return cls(code=suggestion.code, message=suggestion.message, node_ids=list(suggestion.node_ids))


class AnalysisView(BaseModel):
    """What the shape of a version says about how it runs. Notes are counted, and are no part of anything else."""

    version: int
    node_count: int
    link_count: int
    max_depth: int
    """Nodes on the longest way; a loop counts as one."""
    width: int
    """How many nodes can run at the same time, at most; a loop counts as one."""
    parallel_branches: int
    """Branches that begin at nodes which lead to several others."""
    batches: list[list[str]]
    """Nodes that can run at the same time, one batch after the other. Those of a loop are in one batch."""
    bottlenecks: list[BottleneckView]
    loops: list[LoopView]
    critical_path: list[str]
    """The nodes that decide how long an execution takes."""
    critical_path_time: float
    """Seconds."""
    executions_recorded: int
    """How many completed executions of this version times come from; with 0 they are guesses."""
    optimization_suggestions: list[SuggestionView]

    @classmethod
    def of(cls, planned: Planned) -> AnalysisView:
        """Return an analysis as it goes out."""
        analysis, estimate, version = planned.analysis, planned.estimate, planned.saved.version
        return cls(
            version=version.version,
            node_count=len(analysis.graph.nodes),
            link_count=len(version.definition["links"]),
            max_depth=analysis.max_depth,
            width=analysis.width,
            parallel_branches=analysis.parallel_branches,
            batches=analysis.batches,
            bottlenecks=[
                BottleneckView(node_id=each.node_id, in_degree=each.in_degree, out_degree=each.out_degree)
                for each in analysis.find_bottlenecks()
            ],
            loops=[LoopView(node_ids=list(loop.node_ids), has_exit=loop.has_exit) for loop in analysis.loops],
            critical_path=list(estimate.critical_path),
            critical_path_time=estimate.critical_path_seconds,
            executions_recorded=planned.history.executions,
            optimization_suggestions=[SuggestionView.of(each) for each in planned.suggestions],
        )


class CreditsRange(BaseModel):
    """What an execution costs, in credits."""

    min: int
    """What it costs at least, if it completes."""
    expected: int
    max: int | None
    """Null when nothing bounds it: give the execution a budget."""


class NodeCostView(BaseModel):
    """What is expected of one node, over all its node executions."""

    credits: float
    time: float
    """Seconds that those which follow one another take."""
    executions: float
    """How many there are; the average of earlier executions where there are any."""
    is_unbounded: bool
    """Whether nothing in the graph says how many there are at most."""


class WarningView(BaseModel):
    """Why the estimate may be wrong."""

    code: WarningCode
    message: str
    node_ids: list[str]


class EstimateView(BaseModel):
    """What one execution is expected to cost, and how long to take."""

    version: int
    total_credits: CreditsRange
    estimated_time: float
    """Seconds."""
    node_costs: dict[str, NodeCostView]
    critical_path: list[str]
    critical_path_time: float
    is_bounded: bool
    """Whether there is a most that it may cost."""
    executions_recorded: int
    """How many completed executions of this version it goes by; with 0 it is a guess."""
    warnings: list[WarningView]

    @classmethod
    def of(cls, planned: Planned) -> EstimateView:
        """Return an estimate as it goes out."""
        estimate, most = planned.estimate, planned.estimate.most
        return cls(
            version=planned.saved.version.version,
            total_credits=CreditsRange(min=estimate.least, expected=estimate.expected, max=most),
            estimated_time=estimate.seconds,
            node_costs={
                node_id: NodeCostView(
                    credits=node.expected,
                    time=node.seconds,
                    executions=node.firings,
                    is_unbounded=node.is_unbounded,
                )
                for node_id, node in estimate.nodes.items()
            },
            critical_path=list(estimate.critical_path),
            critical_path_time=estimate.critical_path_seconds,
            is_bounded=most is not None,
            executions_recorded=planned.history.executions,
            warnings=[
                WarningView(code=each.code, message=each.message, node_ids=list(each.node_ids))
                for each in estimate.warnings
            ],
        )

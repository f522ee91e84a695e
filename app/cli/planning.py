"""`perdure graphs analysis` and `perdure graphs estimate`: what executing a graph would be like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.cli.given import Given, GraphRef, InputsFile, Version, find_graph, read_inputs
from app.cli.shell import Shell

NAMED_AT_MOST = 10


def analysis(shell: Shell, graph: GraphRef, version: Version = None) -> None:
    """Say what the shape of a graph means for how it runs, and what could be better."""
    with shell.api() as api:
        answer = api.graphs.analysis(find_graph(api, graph), version=version)
    shell.answer(answer, _analysed(answer))


def estimate(
    shell: Shell,
    graph: GraphRef,
    given: Given = None,
    inputs: InputsFile = None,
    version: Version = None,
) -> None:
    """Say what one execution of a graph is expected to cost, and how long to take. Nothing is executed."""
    values = read_inputs(inputs, given)
    with shell.api() as api:
        answer = api.graphs.estimate(find_graph(api, graph), values, version=version)
    shell.answer(answer, _estimated(answer))


def _analysed(answer: dict[str, Any]) -> Iterator[str]:
    yield f"{answer['node_count']} nodes, {answer['link_count']} links (version {answer['version']})"
    yield f"depth {answer['max_depth']}, width {answer['width']}, {answer['parallel_branches']} branches"
    for loop in answer["loops"]:
        yield f"loop: {_names(loop['node_ids'])}"
    for bottleneck in answer["bottlenecks"]:
        degrees = f"{bottleneck['in_degree']} in, {bottleneck['out_degree']} out"
        yield f"bottleneck: {bottleneck['node_id']} ({degrees})"
    yield f"critical path: {_names(answer['critical_path'])} ({answer['critical_path_time']:.3g} s)"
    for suggestion in answer["optimization_suggestions"]:
        yield f"{suggestion['code']}{_place(suggestion)}: {suggestion['message']}"


def _estimated(answer: dict[str, Any]) -> Iterator[str]:
    total = answer["total_credits"]
    most = "no upper bound" if total["max"] is None else f"at most {total['max']}"
    yield f"{total['expected']} credits (at least {total['min']}, {most})"
    count = answer["executions_recorded"]
    basis = f"by {count} earlier executions" if count else "a guess"
    yield f"{answer['estimated_time']:.3g} s ({basis})"
    for node_id, cost in answer["node_costs"].items():
        if cost["credits"]:
            yield f"  {node_id}: {cost['credits']:g} credits, {cost['executions']:g} times"
    for warning in answer["warnings"]:
        yield f"{warning['code']}{_place(warning)}: {warning['message']}"


def _place(remark: dict[str, Any]) -> str:
    return f" ({_names(remark['node_ids'])})" if remark["node_ids"] else ""


def _names(node_ids: list[str]) -> str:
    more = len(node_ids) - NAMED_AT_MOST
    return ", ".join(node_ids[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")

"""`perdure graphs analysis` and `perdure graphs estimate`: what executing a graph would be like."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from app.cli.api_client import DEFAULT_URL, ApiClient, ApiKey, ApiUrl, AsJson, fail

GraphId = Annotated[str, typer.Argument(metavar="ID", help="A graph.")]
Version = Annotated[int | None, typer.Option(min=1, help="Which version; the active one if left out.")]


def analysis(
    graph_id: GraphId,
    version: Version = None,
    as_json: AsJson = False,
    api_url: ApiUrl = DEFAULT_URL,
    api_key: ApiKey = "",
) -> None:
    """Say what the shape of a graph means for how it runs, and what could be better."""
    answer = ApiClient(api_url, api_key).call("GET", _path(graph_id, "analysis"), params={"version": version})
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    print(f"{answer['node_count']} nodes, {answer['link_count']} links (version {answer['version']})")
    print(f"depth {answer['max_depth']}, width {answer['width']}, {answer['parallel_branches']} branches")
    for loop in answer["loops"]:
        print(f"loop: {_names(loop['node_ids'])}")
    for bottleneck in answer["bottlenecks"]:
        degrees = f"{bottleneck['in_degree']} in, {bottleneck['out_degree']} out"
        print(f"bottleneck: {bottleneck['node_id']} ({degrees})")
    print(f"critical path: {_names(answer['critical_path'])} ({answer['critical_path_time']:.3g} s)")
    for suggestion in answer["optimization_suggestions"]:
        place = f" ({_names(suggestion['node_ids'])})" if suggestion["node_ids"] else ""
        print(f"{suggestion['code']}{place}: {suggestion['message']}")


def estimate(
    graph_id: GraphId,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="NAME=VALUE", help="A run input; the value as JSON, or else as text."
        ),
    ] = None,
    version: Version = None,
    as_json: AsJson = False,
    api_url: ApiUrl = DEFAULT_URL,
    api_key: ApiKey = "",
) -> None:
    """Say what one execution of a graph is expected to cost, and how long to take. Nothing is executed."""
    body = {"inputs": dict(map(_read_input, given or [])), "version": version}
    answer = ApiClient(api_url, api_key).call("POST", _path(graph_id, "estimate"), body=body)
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    total = answer["total_credits"]
    most = "no upper bound" if total["max"] is None else f"at most {total['max']}"
    print(f"{total['expected']} credits (at least {total['min']}, {most})")
    count = answer["executions_recorded"]
    basis = f"by {count} earlier executions" if count else "a guess"
    print(f"{answer['estimated_time']:.3g} s ({basis})")
    for node_id, cost in answer["node_costs"].items():
        if cost["credits"]:
            print(f"  {node_id}: {cost['credits']:g} credits, {cost['executions']:g} times")
    for warning in answer["warnings"]:
        place = f" ({_names(warning['node_ids'])})" if warning["node_ids"] else ""
        print(f"{warning['code']}{place}: {warning['message']}")


def _path(graph_id: str, what: str) -> str:
    return f"/api/graphs/{quote(graph_id, safe='')}/{what}"


def _names(node_ids: list[str]) -> str:
    shown = ", ".join(node_ids[:10])
    return shown + (f" and {len(node_ids) - 10} more" if len(node_ids) > 10 else "")


def _read_input(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        fail(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value

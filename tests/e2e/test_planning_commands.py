"""The command line says what executing a graph would be like, against a real server."""

from __future__ import annotations

import json

from tests.e2e.commands import invoke, perdure
from tests.e2e.rest import graph, node, save
from tests.processes import ServerProcess


async def test_a_graph_is_analysed_and_estimated_by_command(server: ServerProcess) -> None:
    nodes = [
        node("model", "agent_short_text_input_block", name="model"),
        node("ask", "ai_text_generator_block", prompt="p"),
    ]
    async with server.client("planning@example.org") as client:
        graph_id = await save(client, graph(nodes, ["model.result -> ask.model"]))
    api = {
        "PERDURE_API_URL": server.run_info.api_url,
        "PERDURE_API_KEY": server.token("planning@example.org"),
    }

    code, out, err = await perdure("graphs", "analysis", graph_id, **api)
    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == ["2 nodes, 1 links (version 1)", "depth 2, width 1, 0 branches"]
    code, out, _ = invoke("graphs", "analysis", graph_id, "--version", "1", "--json", **api)
    assert (code, json.loads(out)["batches"]) == (0, [["model"], ["ask"]])

    code, out, err = invoke("graphs", "estimate", graph_id, "--input", "model=gpt-4o", **api)
    assert (code, err) == (0, "")
    assert out.startswith("3 credits (at least 0, no upper bound)\n")
    assert "  ask: 3 credits, 1 times" in out
    code, out, _ = invoke("graphs", "estimate", graph_id, "--input", "model=x", "--json", **api)
    assert (code, set(json.loads(out)["node_costs"])) == (0, {"model", "ask"})

    for given, ends, said in (("other=1", 1, "graph.other"), ("odd", 2, "NAME=VALUE")):
        code, out, err = invoke("graphs", "estimate", graph_id, "--input", given, **api)
        assert (code, out) == (ends, "")
        assert said in err

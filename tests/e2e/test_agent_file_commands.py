"""The command line takes agent files in and gives them out, against a real server."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.commands import invoke, perdure
from tests.processes import ServerProcess
from tests.unit.autogpt.agents import FIXTURES

NO_GRAPH = "00000000-0000-4000-8000-000000000000"


async def test_an_agent_comes_in_and_goes_out_by_command(server: ServerProcess, tmp_path: Path) -> None:
    api = {"PERDURE_API_URL": server.run_info.api_url, "PERDURE_API_KEY": server.token("cli@example.org")}
    file = FIXTURES / "nested_agents.json"

    code, out, err = await perdure("graphs", "import", str(file), "--name", "Mine", **api)
    assert (code, err) == (0, "")
    graph_id, name = out.splitlines()[0].split("  ")
    assert name == "Mine"
    assert "nested: " in out
    assert "constant_set_aside" in out

    written = tmp_path / "mine.json"
    code, out, _ = await perdure("graphs", "export", graph_id, "-o", str(written), **api)
    assert (code, out.strip()) == (0, f"{written}  Mine (version 1)")
    code, out, _ = await perdure("graphs", "export", graph_id, "--version", "1", **api)
    assert json.loads(out) == json.loads(written.read_text())
    assert len(json.loads(out)["sub_graphs"]) == 2

    code, out, _ = await perdure("graphs", "import", str(written), "--json", **api)
    assert code == 0
    assert set(json.loads(out)) == {"graph", "report"}


def test_what_comes_to_nothing_is_said_on_standard_error(server: ServerProcess, tmp_path: Path) -> None:
    api = {"PERDURE_API_URL": server.run_info.api_url, "PERDURE_API_KEY": server.token("cli@example.org")}
    no_agent, no_json = tmp_path / "a.json", tmp_path / "b.json"
    no_agent.write_text('{"nodes": []}')
    no_json.write_text("{")

    for arguments, environment, expected, said in (
        (["import", str(no_agent)], api, 1, "GRAPH_VALIDATION_ERROR (400)"),
        (["import", str(no_json)], api, 1, "is no JSON"),
        (["import", str(tmp_path / "none.json")], api, 1, "cannot be read"),
        (["import", str(tmp_path)], api, 1, "cannot be read"),
        (["export", "../../api/user"], api, 1, "no graph"),
        (["export", "x", "--version", "0"], api, 2, "--version"),
        (["export", NO_GRAPH], api, 1, "NOT_FOUND (404)"),
        (["export", NO_GRAPH], api | {"PERDURE_API_KEY": "wrong"}, 1, "PERDURE_API_KEY"),
        (["export", NO_GRAPH], {"PERDURE_API_URL": "http://127.0.0.1:9"}, 3, "cannot be reached"),
    ):
        code, out, err = invoke("graphs", *arguments, **environment)
        assert (code, out) == (expected, ""), err
        assert said in err

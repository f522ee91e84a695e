"""The command line looks blocks up and tries them out, against a real server."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.commands import invoke, perdure
from tests.processes import ServerProcess


def api_of(server: ServerProcess) -> dict[str, str]:
    return {"PERDURE_API_URL": server.run_info.api_url, "PERDURE_API_KEY": server.token("cli@example.org")}


async def test_a_block_is_found_shown_and_run_by_command(server: ServerProcess, tmp_path: Path) -> None:
    api = api_of(server)
    file = tmp_path / "inputs.json"
    file.write_text('{"operation": "Add", "a": 1, "b": 1}')

    code, out, err = await perdure("blocks", "list", "calculator", **api)
    assert (code, err) == (0, "")
    assert out.startswith("calculator_block  ")

    code, out, _ = await perdure("blocks", "get", "CalculatorBlock", **api)
    assert code == 0
    assert "b1ab9b19-67a6-406d-abf5-2dba76d00c79" in out
    assert "input operation*: " in out
    assert "output result: " in out

    code, out, _ = await perdure(
        "blocks", "run", "calculator_block", "--inputs", str(file), "--input", "b=2.5", **api
    )
    assert (code, out) == (0, "result: 3.5\n")
    code, out, _ = await perdure(
        "blocks",
        "run",
        "text_replace_block",
        "--input",
        "text=a-b",
        "--input",
        "old=-",
        "--input",
        "new= ",
        "--json",
        **api,
    )
    assert json.loads(out) == {"outputs": {"output": ["a b"]}, "cost": 0}


def test_a_block_that_fails_or_does_not_exist_is_said_on_standard_error(
    server: ServerProcess, tmp_path: Path
) -> None:
    no_object = tmp_path / "list.json"
    no_object.write_text("[]")
    for arguments, said in (
        (["get", "no_such_block"], "NOT_FOUND (404)"),
        (["run", "calculator_block", "--input", "a=1"], "INVALID_INPUT (400)"),
        (["run", "calculator_block", "--input", "a"], "NAME=VALUE"),
        (["run", "calculator_block", "--inputs", str(no_object)], "holds no object"),
        (["list", "--category", "nonsense"], "INVALID_REQUEST (422)"),
    ):
        code, out, err = invoke("blocks", *arguments, **api_of(server))
        assert (code, out) == (2 if said == "NAME=VALUE" else 1, ""), err
        assert said in err

"""Every command with `--json`, against a real server: nobody can add one that says something else than JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli.main import application
from tests.e2e.commands import invoke, perdure
from tests.e2e.driving import drive
from tests.e2e.rest import sums
from tests.processes import ServerProcess
from tests.stubs import WebStub

JSON_LINES = {"executions watch"}
"""Commands that say something for as long as something happens."""

TRIED_ELSEWHERE = {"token"}
"""A command that needs no server."""


def paths_of(group: typer.Typer, *above: str) -> Iterator[str]:
    """Give the words of each command."""
    for command in group.registered_commands:
        assert command.callback is not None
        yield " ".join([*above, command.name or command.callback.__name__])
    for part in group.registered_groups:
        assert part.typer_instance is not None
        assert part.name is not None
        if part.typer_instance.info.invoke_without_command is True:
            yield " ".join([*above, part.name])
        yield from paths_of(part.typer_instance, *above, part.name)


class Walk:
    """Runs one command after the other, and remembers which."""

    def __init__(self, api: dict[str, str]) -> None:
        self._api = api
        self.done: set[str] = set()

    def __call__(self, path: str, *arguments: str, code: int = 0) -> Any:
        """Run a command; return the document that it says."""
        answered, out, err = invoke(*path.split(), *arguments, "--json", **self._api)
        assert (answered, err) == (code, ""), (path, out, err)
        self.done.add(path)
        if path in JSON_LINES:
            return [json.loads(line) for line in out.splitlines()][-1]
        return json.loads(out)

    def told(self, path: str, *arguments: str) -> str:
        """Run a command in both ways; return what it says to people."""
        self(path, *arguments)
        code, out, err = invoke(*path.split(), *arguments, **self._api)
        assert (code, err) == (0, ""), (path, out, err)
        return out


async def test_every_command_answers_with_json(server: ServerProcess, web: WebStub, tmp_path: Path) -> None:
    walk = Walk(
        {"PERDURE_API_URL": server.run_info.api_url, "PERDURE_API_KEY": server.token("json@example.org")}
    )
    await asyncio.to_thread(_run_all, walk, tmp_path)
    await asyncio.to_thread(drive, walk, tmp_path, web.url + "/status/410")
    assert walk.done == {path for path in paths_of(application) if path not in TRIED_ELSEWHERE}


def _run_all(walk: Walk, tmp_path: Path) -> None:
    file, pulled, exported = tmp_path / "sums.json", tmp_path / "pulled.json", tmp_path / "exported.json"
    file.write_text(json.dumps({**sums(3), "name": "Sums"}))

    assert walk("graphs validate", str(file))["valid"]
    first = walk("graphs push", str(file))["id"]
    assert walk("graphs pull", "Sums", "-o", str(pulled))["version"] == 1
    assert walk("graphs push", str(pulled))["version"] == 2
    assert walk("graphs push", str(pulled), "--new")["id"] != first
    walk("graphs export", first, "-o", str(exported))
    walk("graphs import", str(exported), "--name", "Taken in")
    assert len(walk("graphs list")) == 3
    assert walk("graphs get", first)["version"] == 2
    walk("graphs analysis", "Taken in")
    walk("graphs estimate", "Taken in")

    run = walk("run", "Taken in", "--budget", "5")["id"]
    assert walk("executions watch", run)["data"]["status"] == "COMPLETED"
    assert walk("executions get", run)["outputs"] == {"sum": [3.0]}
    assert walk("executions results", run)["status"] == "COMPLETED"
    assert len(walk("executions nodes", run)) == 4
    assert walk("executions stop", run)["status"] == "COMPLETED"
    again = walk("executions rerun", run, "--from", "n2")["id"]
    assert walk("executions watch", again)["data"]["parent_id"] == run
    assert [one["id"] for one in walk("executions list", "--graph", "Taken in")] == [again, run]
    walk("executions delete", again)
    _steer(walk, tmp_path)

    assert walk("blocks list", "calculator")[0]["slug"] == "calculator_block"
    walk("blocks get", "calculator_block")
    walk("blocks run", "calculator_block", "--input", "operation=Add", "--input", "a=1", "--input", "b=2")
    walk("credits")
    walk("credits history")
    key = walk("keys create", "a key", "--scope", "graphs:read")["id"]
    walk("keys list")
    walk("keys revoke", key)
    assert walk("graphs delete", "Taken in")["deleted"]


def _steer(walk: Walk, folder: Path) -> None:
    """Pause an execution that waits, and let it go on."""
    nodes = [{"id": "wait", "block_id": "countdown_timer_block", "input_default": {"seconds": 3600}}]
    file = folder / "waiting.json"
    file.write_text(json.dumps({"name": "Waiting", "nodes": nodes, "links": []}))
    walk("graphs push", str(file))
    run = walk("run", "Waiting")["id"]
    assert walk("executions pause", run)["status"] == "PAUSED"
    walk("executions resume", run)
    assert walk("executions stop", run)["status"] == "CANCELLED"
    assert walk("executions watch", run, code=130)["data"]["status"] == "CANCELLED"


async def test_a_token_is_json_when_that_is_wanted(server: ServerProcess, tmp_path: Path) -> None:
    home = {"PERDURE_HOME": str(server.home.path)}
    code, out, _ = await perdure("token", "--user", "json@example.org", "--json", **home)
    assert (code, list(json.loads(out))) == (0, ["token"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "No such graph"], 1, "no graph 'No such graph'"),
        (["run"], 2, "GRAPH"),
        (["run", "x", "--budget", "-1"], 2, "--budget"),
        (["executions", "get", "nonsense"], 1, "(404)"),
        (["executions", "list", "--status", "nonsense"], 1, "\n  status: "),
        (["graphs", "list", "--profile", "none"], 1, "no profile 'none'"),
        (["graphs", "list", "--api-url", "nonsense"], 1, "no URL"),
        (["graphs", "list", "--api-url", "http://127.0.0.1:9"], 3, "cannot be reached"),
    ],
)
def test_what_comes_to_nothing_says_why(
    server: ServerProcess, arguments: list[str], code: int, said: str
) -> None:
    api = {"PERDURE_API_URL": server.run_info.api_url, "PERDURE_API_KEY": server.token("none@example.org")}
    answered, out, err = invoke(*arguments, **api)
    assert (answered, out) == (code, "")
    assert said in err


def test_a_graph_that_is_wrong_or_has_a_namesake_is_said_by_name(
    server: ServerProcess, tmp_path: Path
) -> None:
    api = {
        "PERDURE_API_URL": server.run_info.api_url,
        "PERDURE_API_KEY": server.token("namesake@example.org"),
    }
    broken, twin = tmp_path / "broken.json", tmp_path / "twin.json"
    broken.write_text(json.dumps({"name": "x", "nodes": [{"id": "a", "block_id": "nonsense"}]}))
    twin.write_text(json.dumps({**sums(2), "name": "Twin"}))

    code, out, _ = invoke("graphs", "validate", str(broken), **api)
    assert (code, out.startswith("a.")) == (1, True)
    code, _, err = invoke("graphs", "push", str(broken), **api)
    assert (code, "\n  a." in err) == (1, True)
    for _ in range(2):
        assert invoke("graphs", "push", str(twin), **api)[0] == 0
    code, _, err = invoke("run", "Twin", **api)
    assert (code, "2 graphs 'Twin'" in err) == (1, True)

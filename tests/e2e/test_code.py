"""Code in graphs, on a real server with a real worker: off, refused, and, where walls can be built, executed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.rest import graph, node, save, start
from tests.processes import ServerProcess, WorkerProcess
from tests.stack import eventually
from tests.walls import can_build_walls


def steps() -> dict[str, object]:
    """Return a graph in which one step writes a file and the next reads it."""
    nodes = [
        node("box", "instantiate_code_sandbox_block", setup_code="open('n', 'w').write('20')"),
        # What it prints is the code of the step after it, which therefore waits for it.
        node(
            "add",
            "execute_code_step_block",
            step_code="n = int(open('n').read()) + 1\nopen('n', 'w').write(str(n))\nprint('cat n')",
        ),
        node("read", "execute_code_step_block", language="bash"),
        node("out", "agent_output_block", name="n"),
    ]
    links = [
        "box.sandbox_id -> add.sandbox_id",
        "box.sandbox_id -> read.sandbox_id",
        "add.stdout_logs -> read.step_code",
        "read.stdout_logs -> out.value",
    ]
    return graph(nodes, links)


async def test_a_server_that_does_not_say_otherwise_executes_no_code(server: ServerProcess) -> None:
    async with server.client() as client:
        alone = await client.post("/api/blocks/execute_code_block/execute", json={"inputs": {"code": "1"}})
        saved = await client.post("/api/graphs", json=graph([node("c", "execute_code_block", code="1")], []))

    assert (alone.status_code, alone.json()["error"]["error_code"]) == (403, "BLOCK_DISABLED")
    assert "PERDURE_CODE_SANDBOX" in alone.json()["error"]["message"]
    assert saved.status_code == 400


async def test_a_worker_does_not_start_when_its_sandbox_cannot_be_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, worker_process: Callable[..., WorkerProcess]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    worker = worker_process(CODE_SANDBOX="bubblewrap")

    assert await worker.ended() == 1
    assert "perdure: The sandbox for code does not work here" in worker.log


if can_build_walls():

    async def test_code_is_executed_step_by_step_by_a_worker(equipped: ServerProcess) -> None:
        async with equipped.client() as client:
            alone = await client.post(
                "/api/blocks/execute_code_block/execute",
                json={"inputs": {"code": "import os\nopen('a.txt', 'w').write('hi')\nsorted(os.environ)"}},
            )
            execution = await start(client, await save(client, steps()), wait=60)
            looping = await start(
                client,
                await save(client, graph([node("c", "execute_code_block", code="while True: pass")], [])),
            )

            async def is_running() -> bool:
                nodes = (await client.get(f"/api/executions/{looping['id']}/nodes")).json()["items"]
                return any(each["status"] == "RUNNING" for each in nodes)

            await eventually(is_running)
            await client.post(f"/api/executions/{looping['id']}/stop")

            async def is_cancelled() -> bool:
                found = (await client.get(f"/api/executions/{looping['id']}")).json()
                return bool(found["status"] == "CANCELLED")

            await eventually(is_cancelled)

        assert "PERDURE_DATABASE_URL" not in alone.json()["outputs"]["main_result"][0]["json"]
        (files,) = alone.json()["outputs"]["files"]
        assert [(file["path"], file["content"]) for file in files] == [("a.txt", "hi")]
        assert (execution["status"], execution["outputs"], execution.get("error")) == (
            "COMPLETED",
            {"n": ["21"]},
            None,
        )

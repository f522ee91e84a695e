"""Blocks of a package, on a real server with a real worker."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.conftest import TURNED_OFF
from tests.e2e.rest import graph, node, save, start, wait
from tests.processes import ServerProcess, WorkerProcess


async def test_the_blocks_of_a_package_are_executed_by_a_worker(equipped: ServerProcess) -> None:
    nodes = [
        node("shout", "shout_block", text="Hello"),
        node("whisper", "WhisperBlock"),
        node("out", "agent_output_block", name="said"),
    ]
    async with equipped.client() as client:
        body = graph(nodes, ["shout.said -> whisper.text", "whisper.said -> out.value"])
        execution = await wait(client, (await start(client, await save(client, body)))["id"])
        alone = await client.post("/api/blocks/shout_block/execute", json={"inputs": {"text": "Hello"}})
        refused = await client.post(f"/api/blocks/{TURNED_OFF}/execute", json={"inputs": {}})

    assert (execution["status"], execution["outputs"]) == ("COMPLETED", {"said": ["hello"]})
    assert alone.json()["outputs"] == {"said": ["HELLO"]}
    assert (refused.status_code, refused.json()["error"]["error_code"]) == (403, "BLOCK_DISABLED")


async def test_a_worker_does_not_start_without_a_package_that_it_is_to_have(
    worker_process: Callable[..., WorkerProcess],
) -> None:
    worker = worker_process(BLOCK_PACKAGES="nobody-has-this")

    assert await worker.ended() == 1
    assert "perdure: The block package 'nobody-has-this' is not installed" in worker.log


async def test_a_server_does_not_start_when_it_is_to_turn_off_what_there_is_not(
    server_process: Callable[..., ServerProcess],
) -> None:
    server = server_process(DISABLED_BLOCKS="calculatr_block")

    assert await server.ended(60) == 1
    assert "perdure: There is no block 'calculatr_block' to be turned off" in server.log

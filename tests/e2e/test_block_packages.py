"""Blocks of a package, on a real server with a real worker."""

from __future__ import annotations

from pathlib import Path

import pytest

import server
import worker
from app.blocks.packages import RegistryRefused
from app.settings.settings import read_settings
from tests.e2e.conftest import TURNED_OFF
from tests.e2e.rest import graph, node, save, start, wait
from tests.processes import ServerProcess
from tests.stack import ENCRYPTION_KEY


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


async def test_a_worker_does_not_start_without_a_package_that_it_is_to_have() -> None:
    nowhere = {"database_url": "postgresql://nowhere.invalid/none", "temporal_address": "nowhere.invalid:1"}
    settings = read_settings(**nowhere, encryption_key=ENCRYPTION_KEY, block_packages="nobody-has-this")

    with pytest.raises(RegistryRefused, match="The block package 'nobody-has-this' is not installed"):
        await worker.run(settings, given=worker.make_parser().parse_args([]))


async def test_a_server_does_not_start_when_it_is_to_turn_off_what_there_is_not(short_folder: Path) -> None:
    embedded = {"database_url": None, "temporal_address": None}
    settings = read_settings(**embedded, home=short_folder / "home", disabled_blocks="calculatr_block")

    with pytest.raises(RegistryRefused, match="There is no block 'calculatr_block' to be turned off"):
        await server.run(settings)
    assert list(settings.home.iterdir()) == []

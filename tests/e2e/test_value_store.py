"""The real programs with their large values in a real S3 server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from app.database import plain_url
from tests.e2e.rest import graph, node, save, start, wait
from tests.object_storage import URL, run_s3_server
from tests.processes import ServerProcess


async def test_server_and_worker_keep_large_values_in_the_bucket_that_a_setting_names(
    server_process: Callable[..., ServerProcess], short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = graph(
        [
            node("in", "agent_input_block", name="text"),
            node("ask", "fill_text_template_block", format="{{ text }}!", values={}),
            node("out", "agent_output_block", name="text"),
        ],
        ["in.result -> ask.values_#_text", "ask.output -> out.value"],
    )
    text = "0123456789" * 1_000
    async with run_s3_server(short_folder / "s3.log") as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        server = await server_process(VALUE_STORE=URL).ready()
        async with server.client() as client:
            execution = await start(client, await save(client, body), {"text": text})
            ended = await wait(client, execution["id"])
        assert (ended["status"], ended["outputs"]) == ("COMPLETED", {"text": [f"{text}!"]})
        database = await asyncpg.connect(plain_url(server.run_info.database_url))
        stored = await database.fetch("SELECT body, object FROM stored_values")
        await database.close()
        # The run inputs, the text that comes out of them, and the one with something added.
        assert len(stored) == await s3.count() == 3
        assert all(row["body"] is None and row["object"] for row in stored)
        assert await server.stop() == 0

"""The real programs with their large values in a real S3 server."""

from __future__ import annotations

import uuid

import asyncpg

from app.database import plain_url
from tests.e2e.conftest import Surroundings
from tests.e2e.rest import graph, node, save, start, wait


async def test_server_and_worker_keep_large_values_in_the_bucket_that_a_setting_names(
    surroundings: Surroundings,
) -> None:
    server, s3, user = surroundings.server, surroundings.s3, f"{uuid.uuid4()}@example.com"
    body = graph(
        [
            node("in", "agent_input_block", name="text"),
            node("ask", "fill_text_template_block", format="{{ text }}!", values={}),
            node("out", "agent_output_block", name="text"),
        ],
        ["in.result -> ask.values_#_text", "ask.output -> out.value"],
    )
    text = "0123456789" * 1_000
    async with server.client(user) as client:
        execution = await start(client, await save(client, body), {"text": text})
        ended = await wait(client, execution["id"])
        user_id = (await client.get("/api/user")).json()["id"]
    assert (ended["status"], ended["outputs"]) == ("COMPLETED", {"text": [f"{text}!"]})
    database = await asyncpg.connect(plain_url(server.run_info.database_url))
    stored = await database.fetch("SELECT body, object FROM stored_values WHERE user_id = $1", user_id)
    await database.close()
    # The run inputs, the text that comes out of them, and the one with something added.
    assert len(stored) == 3
    assert all(row["body"] is None for row in stored)
    assert {row["object"] for row in stored} <= await s3.names()

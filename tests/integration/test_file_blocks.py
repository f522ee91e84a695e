"""Files in executions: given to a graph, stored by blocks, deleted with what they belong to."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.activities.files import CallFiles
from app.blocks.context import BlockContext
from app.database import Sessions
from app.database import make_engine as make_database
from app.errors import BlockError, BlockLimitExceeded, BlockUnavailable
from app.files.store import FileStore
from app.models.file_collection import collect_files
from app.outbound.addresses import AddressRefused
from app.outbound.http import OutboundHttp
from tests.e2e.rest import graph, node, save, start, wait
from tests.engine import Engine, make_graph
from tests.unit.blocks.stub_server import Answer, running_server

PROBE = "probe"


async def upload(client: httpx.AsyncClient, content: bytes, name: str) -> str:
    sent = await client.post("/api/files", files={"file": (name, content)})
    assert sent.status_code == 201, sent.text
    reference: str = sent.json()["reference"]
    return reference


async def contents(client: httpx.AsyncClient, reference: str) -> httpx.Response:
    return await client.get(f"/api/files/{reference.removeprefix('workspace://')}")


async def run(client: httpx.AsyncClient, body: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    execution = await start(client, await save(client, body), inputs)
    return await wait(client, execution["id"])


def reading(block: str, pin: str, output: str, **constants: Any) -> dict[str, Any]:
    """Return a graph with a file input that one block reads."""
    return graph(
        [
            node("in", "agent_file_input_block", name="file"),
            node("read", block, **constants),
            node("out", "agent_output_block", name="out"),
        ],
        [f"in.result -> read.{pin}", f"read.{output} -> out.value"],
    )


@pytest.mark.usefixtures("worker")
async def test_an_uploaded_file_is_an_input_of_a_graph(alice: httpx.AsyncClient) -> None:
    reference = await upload(alice, b"name,age\nAda,36\n", "people.csv")
    done = await run(alice, reading("read_spreadsheet_block", "file_input", "rows"), file=reference)
    assert done["outputs"] == {"out": [[{"name": "Ada", "age": "36"}]]}, done
    done = await run(
        alice, reading("file_read_block", "file_input", "content", delimiter="\n"), file=reference
    )
    assert done["outputs"] == {"out": ["name,age", "Ada,36", ""]}
    done = await run(alice, reading("file_store_block", "file_in", "file_out"), file=reference)
    assert done["outputs"] == {"out": [reference]}


@pytest.mark.usefixtures("worker")
async def test_a_file_input_without_a_value_emits_nothing(alice: httpx.AsyncClient) -> None:
    done = await run(alice, reading("file_read_block", "file_input", "content"), file="")
    assert (done["status"], done["outputs"]) == ("COMPLETED", {})


@pytest.mark.usefixtures("worker")
async def test_what_a_block_stores_goes_with_its_execution(alice: httpx.AsyncClient) -> None:
    body = reading("file_store_block", "file_in", "file_out")
    done = await run(alice, body, file="data:text/csv;base64,YSxiCjEsMg==")
    [reference] = done["outputs"]["out"]
    stored = (await alice.get("/api/files", params={"execution_id": done["id"]})).json()["items"]
    assert [file["reference"] for file in stored] == [reference]
    assert (stored[0]["content_type"], stored[0]["execution_id"]) == ("text/csv", done["id"])
    assert (await contents(alice, reference)).content == b"a,b\n1,2"
    assert (await alice.delete(f"/api/executions/{done['id']}")).status_code == 204
    assert (await contents(alice, reference)).status_code == 404
    assert (await alice.get("/api/files")).json()["items"] == []


@pytest.mark.usefixtures("worker")
async def test_nobody_reads_the_file_of_somebody_else(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    theirs, nobodys = await upload(alice, b"secret", "a.txt"), f"workspace://{uuid.uuid4()}"
    body = reading("file_read_block", "file_input", "content")
    errors = []
    for reference in (theirs, nobodys):
        failed = await run(bob, body, file=reference)
        assert failed["status"] == "FAILED"
        errors.append(failed["error"])
    assert errors[0] == errors[1]
    assert "secret" not in str(errors)


async def test_a_call_that_is_repeated_stores_its_files_once(engine: Engine) -> None:
    owner = str(uuid.uuid4())

    async def store(_value: Any, context: BlockContext) -> list[str]:
        own = await context.files.store(b"with the execution", name="a.txt")
        kept = await context.files.store(b"by itself", name="../b.txt", is_kept=True)
        if context.attempt == 1:
            raise BlockUnavailable
        return [own, kept, (await context.files.read(kept)).name]

    engine.probe.functions["store"] = store
    nodes = {"p": (PROBE, {"name": "store"}), "out": ("agent_output_block", {"name": "out"})}
    async with engine.worker():
        done = await engine.run(make_graph(nodes, ["p.out -> out.value"]), owner=owner)
    assert done.status == "COMPLETED"
    [[own, kept, name]] = done.outputs["out"]
    files = await engine.pool.fetch("SELECT id, execution_id FROM files WHERE user_id = $1", owner)
    assert {f"workspace://{file['id']}": file["execution_id"] is None for file in files} == {
        own: False,
        kept: True,
    }
    assert name == "b.txt"


async def test_a_block_stores_no_more_than_its_owner_may(engine: Engine) -> None:
    async def store(_value: Any, context: BlockContext) -> str:
        return await context.files.store(b"x" * 101 * 1024 * 1024)

    engine.probe.functions["store"] = store
    async with engine.worker():
        done = await engine.run(make_graph({"p": (PROBE, {"name": "store"})}, []), owner=str(uuid.uuid4()))
    assert done.status == "FAILED"
    assert done.error is not None
    assert done.error["code"] == "LIMIT_EXCEEDED"


async def test_files_that_have_had_their_time_are_collected(engine: Engine, alice: httpx.AsyncClient) -> None:
    reference = await upload(alice, b"x", "a.txt")
    kept = await upload(alice, b"y", "b.txt")
    file_id = uuid.UUID(reference.removeprefix("workspace://"))
    await engine.pool.execute("UPDATE files SET expires_at = now() WHERE id = $1", file_id)
    await collect_files(engine.pool, kept=timedelta(days=1))
    assert await engine.pool.fetchval("SELECT count(*) FROM files WHERE id = $1", file_id) == 0
    assert await engine.pool.fetchval("SELECT count(*) FROM file_parts WHERE file_id = $1", file_id) == 0
    assert (await contents(alice, kept)).content == b"y"


@pytest.mark.usefixtures("worker")
async def test_files_of_executions_that_ended_long_ago_are_collected(
    engine: Engine, alice: httpx.AsyncClient
) -> None:
    body = reading("file_store_block", "file_in", "file_out")
    old, new = [await run(alice, body, file="text") for _ in range(2)]
    long_ago = "now() - interval '2 days'"
    await engine.pool.execute(
        f"UPDATE executions SET ended_at = {long_ago} WHERE id = $1", uuid.UUID(old["id"])
    )
    await engine.pool.execute(
        f"UPDATE files SET created_at = {long_ago} WHERE execution_id = ANY($1)",
        [uuid.UUID(old["id"]), uuid.UUID(new["id"])],
    )
    await collect_files(engine.pool, kept=timedelta(days=1))
    assert (await contents(alice, old["outputs"]["out"][0])).status_code == 404
    assert (await contents(alice, new["outputs"]["out"][0])).status_code == 200


async def test_a_file_comes_from_the_web_within_its_limits(database_url: str) -> None:
    database = make_database(database_url)
    http, refusing = OutboundHttp(allowed_private_hosts=["127.0.0.1"]), OutboundHttp()
    store = FileStore(Sessions(database))
    files = CallFiles(store, http, owner=str(uuid.uuid4()), execution_id="", idempotency_key="k")
    try:
        async with running_server() as web:
            web.answers["/dir/a%20b.csv"] = web.answers["/dir/a b.csv"] = Answer(body=b"a,b\n1,2")
            file = await files.read(f"{web.url}/dir/a%20b.csv?x=1")
            assert (file.content, file.name, file.content_type) == (b"a,b\n1,2", "a b.csv", "text/csv")
            with pytest.raises(BlockLimitExceeded):
                await files.read(f"{web.url}/dir/a%20b.csv", limit_bytes=3)
            web.answers["/gone"] = Answer(status=404)
            with pytest.raises(BlockError) as gone:
                await files.read(f"{web.url}/gone")
            assert not gone.value.is_transient
            web.answers["/busy"] = Answer(status=503)
            with pytest.raises(BlockUnavailable):
                await files.read(f"{web.url}/busy")
            strict = CallFiles(store, refusing, owner="o", execution_id="", idempotency_key="k")
            with pytest.raises(AddressRefused):
                await strict.read(f"{web.url}/dir/a%20b.csv")
    finally:
        await http.aclose()
        await refusing.aclose()
        await database.dispose()

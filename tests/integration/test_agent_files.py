"""Agent files over REST: imported unmodified, executed, edited and exported again."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest

from app.activities.plans import PlanCache
from app.blocks.base import BlockInput, BlockOutput, PureBlock
from app.blocks.calling import prepare, run_pure
from app.blocks.placeholders import PlaceholderBlock
from app.blocks.registry import BLOCK_CLASSES, BlockRegistry
from app.errors import BlockMissing
from tests.e2e.rest import assert_whole_log, graph, node, nodes_of, save, start, wait
from tests.engine import Engine
from tests.unit.autogpt.agents import AGENT, INPUT, OUTPUT, STORE, agent, fixture, fixture_names
from tests.unit.autogpt.agents import node as node_of_file

PIGEON = "5b1e0d53-0f8d-4b6f-9a3e-2f6a1c0e7d44"


async def imported(client: httpx.AsyncClient, document: Any) -> dict[str, Any]:
    """Import a file; return the answer."""
    response = await client.post("/api/graphs/import", json=document)
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def exported(client: httpx.AsyncClient, graph_id: str, **params: Any) -> dict[str, Any]:
    """Return a graph as an agent file."""
    response = await client.get(f"/api/graphs/{graph_id}/export", params=params)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def editable(graph: dict[str, Any]) -> dict[str, Any]:
    """Return what a client sends back to save a graph again."""
    return {key: graph[key] for key in ("name", "description", "nodes", "links")}


@pytest.mark.parametrize("name", fixture_names())
async def test_every_agent_file_comes_in_and_can_be_saved_again(alice: httpx.AsyncClient, name: str) -> None:
    document = fixture(name)
    answer = await imported(alice, document)
    saved = answer["graph"]

    assert (saved["version"], saved["is_active"]) == (1, True)
    assert saved["id"] != document["id"]
    assert {each["id"] for each in document["nodes"]} == {each["id"] for each in saved["nodes"]}
    assert answer["report"]["credentials"] == saved["credentials_input_schema"]
    again = await alice.put(f"/api/graphs/{saved['id']}", json=editable(saved))
    if name == "missing_child":
        # Its author has to say first which graph is meant.
        assert again.status_code == 400
    else:
        assert again.status_code == 200, again.text
        assert again.json()["nodes"] == saved["nodes"]


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        ("accumulator", {}, {"squares": [[1.0, 4.0, 9.0, 16.0]]}),
        ("first_format", {"Who": {"name": "Ada"}}, {"greeting": [["Good day to you, Ada! {literally}"]]}),
        ("nested_agents", {"n": 5}, {"result": [22.0]}),
        ("nested_in_old_file", {}, {"result": [42.0]}),
        ("nulls_everywhere", {"n": "4"}, {"sum": [7.0]}),
        (
            "dynamic_pins",
            {"name": "Ada"},
            {
                "joined": ["first-Ada-Ada-last"],
                "kind": ["person"],
                "text": ["Ada is a person: one/second"],
            },
        ),
        (
            "retry_loop",
            {},
            {
                "failures": [f"The list has 3 elements, there is none at {index}" for index in (7, 4)],
                "item": ["b"],
            },
        ),
    ],
)
async def test_agents_whose_blocks_exist_do_their_work(
    alice: httpx.AsyncClient, name: str, inputs: dict[str, Any], outputs: dict[str, Any]
) -> None:
    first = (await imported(alice, fixture(name)))["graph"]["id"]
    second = (await imported(alice, await exported(alice, first)))["graph"]["id"]
    for graph_id in (first, second):
        execution = await wait(alice, (await start(alice, graph_id, inputs))["id"])
        assert execution["status"] == "COMPLETED", execution["error"]
        assert execution["outputs"] == outputs


async def test_nested_graphs_become_graphs_of_the_importer(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    for client in (alice, bob):
        saved = (await imported(client, fixture("nested_agents")))["graph"]
        assert [each["name"] for each in saved["sub_graphs"]] == ["Doubling and adding", "Doubling"]
        listed = (await client.get("/api/graphs")).json()["items"]
        assert {each["name"]: each["user_id"] for each in listed} == dict.fromkeys(
            ("Doubling", "Doubling and adding", "An agent of agents"), saved["user_id"]
        )
        assert "user_id" not in json.dumps(saved["nodes"])


async def test_a_file_comes_in_as_a_whole_or_not_at_all(alice: httpx.AsyncClient) -> None:
    inner = agent(node_of_file("s", STORE, input=1), id="inner")
    bad = agent(node_of_file("s", ""), id="bad")
    root = agent(node_of_file("a", AGENT, graph_id="inner"), id="root", sub_graphs=[inner, bad])
    response = await alice.post("/api/graphs/import", json=root)
    assert response.status_code == 400
    assert response.json()["error"]["error_code"] == "GRAPH_VALIDATION_ERROR"
    assert (await alice.get("/api/graphs")).json()["items"] == []


async def test_graphs_that_nest_too_deep_or_contain_themselves_are_refused(alice: httpx.AsyncClient) -> None:
    chain = [agent(node_of_file("a", AGENT, graph_id=f"g{depth + 1}"), id=f"g{depth}") for depth in range(12)]
    for document in (
        {**chain[0], "sub_graphs": [*chain[1:], agent(node_of_file("s", STORE, input=1), id="g12")]},
        {**chain[0], "sub_graphs": [agent(node_of_file("a", AGENT, graph_id="g0"), id="g1")]},
    ):
        response = await alice.post("/api/graphs/import", json=document)
        assert response.status_code == 400, response.text
        assert "graph_id" in json.dumps(response.json()["error"]["details"]["node_errors"])
    assert (await alice.get("/api/graphs")).json()["items"] == []


async def test_a_repeated_import_makes_nothing_new(alice: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    answers = [
        await alice.post("/api/graphs/import", json=fixture("nested_agents"), headers=headers)
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert len((await alice.get("/api/graphs")).json()["items"]) == 3


async def test_names_are_cleaned_of_html_as_everywhere(alice: httpx.AsyncClient) -> None:
    document = agent(
        node_of_file("s", STORE, input=1),
        name="<b>Bold</b><script>x()</script>",
        description="<i>" + "d" * 2_000,
        instructions="<img src=x onerror=y>Go",
    )
    answer = await imported(alice, document)
    assert (answer["graph"]["name"], len(answer["graph"]["description"])) == ("Bold", 1_000)
    assert (await exported(alice, answer["graph"]["id"]))["instructions"] == "Go"
    assert [each["code"] for each in answer["report"]["changes"]] == ["description_shortened"]


@pytest.mark.usefixtures("worker")
async def test_a_missing_block_fails_its_node_and_the_rest_runs(alice: httpx.AsyncClient) -> None:
    answer = await imported(alice, fixture("unknown_blocks"))
    missing = {each["name"] or each["block_id"] for each in answer["report"]["missing_blocks"]}
    assert missing == {PIGEON, "PostRedditCommentBlock"}

    execution = await wait(alice, (await start(alice, answer["graph"]["id"]))["id"])
    assert execution["status"] == "COMPLETED"
    assert execution["outputs"]["copy"] == ["Dear all"]
    assert execution["outputs"]["why"] == [f"The block '{PIGEON}' does not exist here"]
    await assert_whole_log(alice, execution["id"])
    failed = [
        row for rows in (await nodes_of(alice, execution["id"])).values() for row in rows if row["error"]
    ]
    assert [(row["block_id"], row["status"], row["error"]["code"]) for row in failed] == [
        (PIGEON, "FAILED", "BLOCK_MISSING")
    ]


@pytest.mark.usefixtures("worker")
async def test_a_missing_block_that_nothing_handles_fails_the_execution_after_the_rest(
    alice: httpx.AsyncClient,
) -> None:
    body = graph(
        [
            node("gone", PIGEON, metadata={"missing_block": "Pigeon"}),
            node("s", "store_value_block", input=1),
            node("out", "agent_output_block", name="y"),
        ],
        ["s.output -> out.value", "gone.landing -> out.value"],
    )
    execution = await wait(alice, (await start(alice, await save(alice, body)))["id"])
    assert execution["status"] == "FAILED"
    assert execution["error"] == {
        "node_id": "gone",
        "code": "BLOCK_MISSING",
        "message": "The block 'Pigeon' does not exist here",
    }
    assert execution["outputs"] == {"y": [1]}
    rerun = await alice.post(f"/api/executions/{execution['id']}/rerun", json={})
    assert rerun.status_code == 200, rerun.text
    again = await wait(alice, rerun.json()["id"])
    assert (again["status"], again["error"]["code"]) == ("FAILED", "BLOCK_MISSING")


async def test_only_a_node_that_says_so_may_lack_its_block(alice: httpx.AsyncClient) -> None:
    unmarked = graph([node("gone", PIGEON)], [])
    response = await alice.post("/api/graphs", json=unmarked)
    assert response.json()["error"]["details"]["node_errors"]["gone"] == {
        "block_id": f"There is no block '{PIGEON}'"
    }
    marked = graph([node("s", "store_value_block", input=1, metadata={"missing_block": "Store", "x": 1})], [])
    saved = (await alice.get(f"/api/graphs/{await save(alice, marked)}")).json()
    assert saved["nodes"][0]["metadata"] == {"x": 1}


class PigeonBlock(PureBlock):
    """Fly."""

    id = PIGEON

    class Input(BlockInput):
        """Nothing."""

    class Output(BlockOutput):
        """A place."""

        landing: str

    def run(self, given: Input) -> Any:
        yield "landing", "Ghent"


async def test_a_version_that_was_saved_without_a_block_stays_so_when_the_block_comes(
    engine: Engine, alice: httpx.AsyncClient
) -> None:
    """The lane of every node is in the plan, and so in the histories of executions that began before."""
    graph_id = await save(alice, graph([node("gone", PIGEON, metadata={"missing_block": "Pigeon"})], []))
    query = "SELECT plan_hash FROM graph_versions WHERE graph_id = $1"
    plan_hash = await engine.pool.fetchval(query, uuid.UUID(graph_id))
    with_pigeons = BlockRegistry([*(block() for block in BLOCK_CLASSES), PigeonBlock()])
    [loaded] = (await PlanCache(engine.pool, with_pigeons).require(plan_hash)).nodes
    assert isinstance(loaded.block, PlaceholderBlock)
    with pytest.raises(BlockMissing, match="save the graph again"):
        list(run_pure(loaded.block, prepare(loaded.block, {"wing": 1}, {})))


@pytest.mark.usefixtures("worker")
async def test_a_graph_that_is_not_in_the_file_fails_its_node(alice: httpx.AsyncClient) -> None:
    answer = await imported(alice, fixture("missing_child"))
    assert [each["code"] for each in answer["report"]["changes"]] == ["graph_missing"]
    execution = await wait(alice, (await start(alice, answer["graph"]["id"]))["id"])
    assert (execution["status"], execution["error"]["code"]) == ("FAILED", "NOT_FOUND")
    assert execution["outputs"] == {"kept": ["hello"]}


async def test_a_graph_of_somebody_else_is_missing_too(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    own = await save(alice, graph([node("s", "store_value_block", input=1)], []))
    document = agent(node_of_file("a", AGENT, graph_id=own, graph_version=1))
    nobody = str(uuid.UUID(int=5))
    theirs = await imported(bob, document)
    nobodys = await imported(bob, json.loads(json.dumps(document).replace(own, nobody)))
    assert theirs["graph"]["sub_graphs"] == []
    assert [each["code"] for each in theirs["report"]["changes"]] == ["graph_missing"]
    told = theirs["report"]["changes"][0]["message"].replace(own, nobody)
    assert told == nobodys["report"]["changes"][0]["message"]
    mine = await imported(alice, document)
    assert [each["id"] for each in mine["graph"]["sub_graphs"]] == [own]
    assert mine["report"]["changes"] == []


async def test_an_export_has_all_versions_that_are_nested_deleted_ones_too(alice: httpx.AsyncClient) -> None:
    child = await save(
        alice, graph([node("in", INPUT, name="x", value=1), node("out", OUTPUT, name="y")], [])
    )
    parent = await save(alice, graph([node("a", AGENT, graph_id=child)], []))
    await alice.put(
        f"/api/graphs/{parent}", json=graph([node("a", AGENT, graph_id=child, graph_version=1)], [])
    )
    assert (await alice.delete(f"/api/graphs/{child}")).status_code == 204
    for params, version in (({}, 2), ({"version": 1}, 1)):
        document = await exported(alice, parent, **params)
        assert (document["version"], document["is_active"]) == (version, version == 2)
        assert [(each["id"], len(each["nodes"])) for each in document["sub_graphs"]] == [(child, 2)]
        named = document["nodes"][0]["input_default"]
        assert (named["graph_id"], named["graph_version"]) == (child, 1)
        assert set(named["input_schema"]["properties"]) == {"x"}
    assert (await alice.get(f"/api/graphs/{parent}/export?version=3")).status_code == 404


async def test_what_a_file_says_besides_stays_with_the_graph_when_it_is_edited(
    alice: httpx.AsyncClient,
) -> None:
    document = fixture("nested_agents")
    saved = (await imported(alice, document))["graph"]
    assert (await alice.put(f"/api/graphs/{saved['id']}", json=editable(saved))).status_code == 200
    written = await exported(alice, saved["id"])
    for field in ("instructions", "recommended_schedule_cron", "forked_from_id", "forked_from_version"):
        assert written[field] == document[field]
    assert written["version"] == 2


async def test_no_secret_goes_out(alice: httpx.AsyncClient) -> None:
    saved = (await imported(alice, fixture("dropdown_and_secrets")))["graph"]
    text = json.dumps(await exported(alice, saved["id"]))
    assert "only mine" not in text
    assert '"credentials": {' not in text
    assert "never take this" not in json.dumps(await imported(alice, fixture("webhook_trigger")))


@pytest.mark.parametrize(
    "body", [[], "x", 5, None, {}, {"nodes": 5}, {"nodes": [None]}, {"nodes": [{"block_id": STORE}] * 10_001}]
)
async def test_what_is_no_agent_file_is_refused_in_words(alice: httpx.AsyncClient, body: Any) -> None:
    response = await alice.post("/api/graphs/import", json=body)
    assert response.status_code in (400, 422)
    assert response.json()["success"] is False


async def test_texts_that_come_with_a_graph_have_no_html(alice: httpx.AsyncClient) -> None:
    said = {"recommended_schedule_cron": "<b>0 9 * * *</b>", "forked_from_id": "<img src=x onerror=1>"}
    answer = await imported(alice, agent(node_of_file("a", STORE, input=1)) | said)
    document = await exported(alice, answer["graph"]["id"])
    assert (document["recommended_schedule_cron"], document["forked_from_id"]) == ("0 9 * * *", None)

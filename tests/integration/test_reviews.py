"""Reviews: asked, answered, edited, reminded of, timed out, withdrawn."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from app.activities.contracts.messages import RELEASE_SIGNAL, Decision, Release
from tests.e2e.rest import assert_whole_log, get, graph, node, nodes_of, save, start, wait
from tests.engine import Engine, limited, make_graph
from tests.reviews import LETTER, answer, ask, asked, asking, reviews_of, types_of
from tests.stack import Stack, eventually


async def has_status(client: httpx.AsyncClient, execution_id: str, status: str) -> bool:
    return bool((await get(client, execution_id))["status"] == status)


async def test_an_approval_passes_the_value_on(alice: httpx.AsyncClient, worker: None) -> None:
    review = await ask(alice, LETTER, instructions="Look twice", editable=False)
    execution_id = review["execution_id"]
    assert (review["name"], review["instructions"], review["data"]) == ("Send it?", "Look twice", LETTER)
    assert (review["status"], review["editable"], review["due_at"], review["node_id"]) == (
        "open",
        False,
        None,
        "review",
    )
    await eventually(lambda: has_status(alice, execution_id, "WAITING"))
    row = (await nodes_of(alice, execution_id))["review"][0]
    assert (row["status"], row["id"]) == ("WAITING", review["node_execution_id"])

    answered = await answer(alice, review, approved=True, message="Fine")
    assert answered.status_code == 200, answered.text
    assert answered.json()["status"] == "answered"

    ended = await wait(alice, execution_id)
    assert ended["outputs"] == {"approved_data": [LETTER], "review_message": ["Fine"]}
    closed = (await reviews_of(alice, execution_id))[0]
    assert (closed["status"], closed["approved"], closed["message"]) == ("answered", True, "Fine")
    assert closed["answered_by"] == ended["user_id"]
    assert closed["answered_at"]
    assert closed["link"] is None
    types = [event["type"] for event in await assert_whole_log(alice, execution_id)]
    assert types.index("review_requested") < types.index("execution_waiting") < types.index("review_answered")


async def test_a_rejection_comes_out_on_its_own_pin(alice: httpx.AsyncClient, worker: None) -> None:
    review = await ask(alice, LETTER)
    assert (await answer(alice, review, approved=False)).status_code == 200
    assert (await wait(alice, review["execution_id"]))["outputs"] == {"rejected_data": [LETTER]}


async def test_an_approval_may_edit_the_value(alice: httpx.AsyncClient, worker: None) -> None:
    edited = {**LETTER, "text": "x" * 20_000}
    review = await ask(alice, {**LETTER, "text": "y" * 20_000})
    assert (await answer(alice, review, approved=True, data=edited)).status_code == 200
    assert (await wait(alice, review["execution_id"]))["outputs"] == {"approved_data": [edited]}


SCHEMA = {"type": "object", "properties": {"to": {"pattern": "@example.org$"}}, "required": ["to", "text"]}


REFUSED: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    ({"editable": False}, [{"approved": True, "data": {**LETTER, "to": "b@example.org"}}]),
    (
        {"schema": SCHEMA},
        [
            {"approved": True, "data": {"to": "b@example.com", "text": ""}},
            {"approved": True, "data": {"to": "b@example.org"}},
        ],
    ),
    (
        {},
        [
            {"approved": True, "data": [LETTER]},
            {"approved": True, "data": "text"},
            {"approved": False, "data": {"to": "b@example.org"}},
            {"approved": "yes"},
            {"data": LETTER},
            {"approved": True, "edited": LETTER},
            {"approved": True, "message": "x" * 2_001},
        ],
    ),
]


@pytest.mark.parametrize(("constants", "bodies"), REFUSED, ids=["fixed", "schema", "any"])
async def test_an_answer_that_is_not_taken_leaves_the_review_open(
    alice: httpx.AsyncClient, worker: None, constants: dict[str, Any], bodies: list[dict[str, Any]]
) -> None:
    review = await ask(alice, LETTER, **constants)
    for body in bodies:
        refused = await answer(alice, review, **body)
        assert (refused.status_code, refused.json()["error"]["error_code"]) == (422, "INVALID_REQUEST"), body
    assert [row["status"] for row in await reviews_of(alice, review["execution_id"])] == ["open"]

    fits = {**LETTER, "text": "Bye"} if constants.get("editable", True) else LETTER
    assert (await answer(alice, review, approved=True, data=fits)).status_code == 200
    assert (await wait(alice, review["execution_id"]))["outputs"] == {"approved_data": [fits]}


async def test_only_the_first_answer_is_taken(alice: httpx.AsyncClient, worker: None) -> None:
    review = await ask(alice)
    answers = await asyncio.gather(
        *(answer(alice, review, approved=k % 2 == 0, message=str(k)) for k in range(6))
    )
    taken = [k for k, given in enumerate(answers) if given.status_code == 200]
    assert len(taken) == 1
    assert {given.status_code for given in answers} == {200, 409}

    ended = await wait(alice, review["execution_id"])
    pin = "approved_data" if taken[0] % 2 == 0 else "rejected_data"
    assert ended["outputs"] == {pin: [1], "review_message": [str(taken[0])]}
    late = await answer(alice, review, approved=True)
    assert (late.status_code, late.json()["error"]["error_code"]) == (409, "CONFLICT")


async def test_a_signal_that_was_not_answered_for_yields_to_the_recorded_answer(
    alice: httpx.AsyncClient, engine: Engine, client: Client
) -> None:
    async with engine.worker():
        review = await ask(alice)
    # A rejection whose sender was told nothing, then an approval that was taken; and only then a worker.
    handle = client.get_workflow_handle(review["execution_id"])
    await handle.signal(RELEASE_SIGNAL, Release(0, 1, decision=Decision(approved=False, by="nobody")))
    assert (await answer(alice, review, approved=True)).status_code == 200
    async with engine.worker():
        ended = await wait(alice, review["execution_id"])
    assert ended["outputs"] == {"approved_data": [1]}
    assert (await reviews_of(alice, review["execution_id"]))[0]["answered_by"] == ended["user_id"]


async def test_nobody_is_reminded_of_what_has_been_answered(
    alice: httpx.AsyncClient, engine: Engine, client: Client
) -> None:
    async with engine.worker():
        review = await ask(alice, remind_after_seconds=2)
    assert (await answer(alice, review, approved=True)).status_code == 200
    handle = client.get_workflow_handle(review["execution_id"])

    async def is_due() -> bool:
        history = await handle.fetch_history()
        return any(event.HasField("timer_fired_event_attributes") for event in history.events)

    await eventually(is_due)
    async with engine.worker():
        await wait(alice, review["execution_id"])
    assert "review_reminder" not in await types_of(alice, review["execution_id"])


async def test_a_release_that_says_nothing_has_the_review_looked_at(
    alice: httpx.AsyncClient, engine: Engine, client: Client, worker: None
) -> None:
    open_one, closed_one = await ask(alice), await ask(alice)
    given = {"approved": True, "by": "somebody", "message": "", "data": None}
    await engine.pool.execute(
        "UPDATE reviews SET status = 'answered', answer = $2, closed_at = now() WHERE id = $1",
        closed_one["node_execution_id"],
        given,
    )
    for review in (open_one, closed_one):
        await client.get_workflow_handle(review["execution_id"]).signal(RELEASE_SIGNAL, Release(0, 1))

    assert (await wait(alice, closed_one["execution_id"]))["outputs"] == {"approved_data": [1]}
    assert (await answer(alice, open_one, approved=False)).status_code == 200
    assert (await wait(alice, open_one["execution_id"]))["outputs"] == {"rejected_data": [1]}


async def test_a_review_of_somebody_else_looks_like_none(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, worker: None
) -> None:
    review = await ask(alice)
    execution_id = review["execution_id"]
    missing = {**review, "node_execution_id": "00000000-0000-4000-8000-000000000000"}
    theirs = await answer(bob, review, approved=True)
    none = await answer(bob, missing, approved=True)
    assert theirs.status_code == none.status_code == 404
    assert theirs.json()["error"]["message"] == none.json()["error"]["message"]
    assert (await bob.get(f"/api/executions/{execution_id}/reviews")).status_code == 404
    assert (await bob.get("/api/reviews")).json()["items"] == []
    # Nor is a review found under another execution of its owner.
    other = await ask(alice)
    mixed = {**review, "execution_id": other["execution_id"]}
    assert (await answer(alice, mixed, approved=True)).status_code == 404
    assert (await reviews_of(alice, execution_id))[0]["status"] == "open"


async def test_open_reviews_are_listed_over_all_executions_newest_first(
    alice: httpx.AsyncClient, worker: None
) -> None:
    asked_for = [await ask(alice, number) for number in range(3)]
    await answer(alice, asked_for[1], approved=True)

    first = (await alice.get("/api/reviews", params={"status": "open", "limit": 1})).json()
    second = (
        await alice.get("/api/reviews", params={"status": "open", "cursor": first["next_cursor"]})
    ).json()
    assert [row["data"] for row in first["items"] + second["items"]] == [2, 0]
    assert second["next_cursor"] is None
    answered = (await alice.get("/api/reviews", params={"status": "answered"})).json()["items"]
    assert [row["data"] for row in answered] == [1]
    assert [row["data"] for row in (await alice.get("/api/reviews")).json()["items"]] == [2, 1, 0]


async def test_a_stop_withdraws_the_review(alice: httpx.AsyncClient, worker: None) -> None:
    review = await ask(alice)
    execution_id = review["execution_id"]
    stopped = await alice.post(f"/api/executions/{execution_id}/stop")
    assert stopped.json()["status"] == "CANCELLED"
    closed = (await reviews_of(alice, execution_id))[0]
    assert (closed["status"], closed["link"]) == ("withdrawn", None)
    assert (await nodes_of(alice, execution_id))["review"][0]["status"] == "CANCELLED"
    assert (await answer(alice, review, approved=True)).status_code == 409
    assert (await alice.delete(f"/api/executions/{execution_id}")).status_code == 204
    assert (await answer(alice, review, approved=True)).status_code == 404
    assert (await alice.get("/api/reviews")).json()["items"] == []


async def test_an_answer_is_taken_while_the_execution_is_paused(
    alice: httpx.AsyncClient, worker: None
) -> None:
    review = await ask(alice)
    execution_id = review["execution_id"]
    await alice.post(f"/api/executions/{execution_id}/pause")
    assert (await answer(alice, review, approved=True)).status_code == 200
    assert (await get(alice, execution_id))["status"] == "PAUSED"
    await alice.post(f"/api/executions/{execution_id}/resume")
    assert (await wait(alice, execution_id))["outputs"] == {"approved_data": [1]}


async def test_other_branches_go_on_while_a_person_is_waited_for(
    alice: httpx.AsyncClient, worker: None
) -> None:
    body = asking(1)
    body["nodes"] += [
        node("timer", "countdown_timer_block", seconds=1),
        node("after", "agent_output_block", name="after"),
    ]
    body["links"] += graph([], ["timer.output_message -> after.value"])["links"]
    execution = await start(alice, await save(alice, body))

    async def has_gone_on() -> bool:
        return "after" in await nodes_of(alice, execution["id"])

    await eventually(has_gone_on)
    await eventually(lambda: has_status(alice, execution["id"], "WAITING"))
    await answer(alice, await asked(alice, execution["id"]), approved=True)
    assert set((await wait(alice, execution["id"]))["outputs"]) == {"approved_data", "after"}


async def test_each_firing_asks_for_itself(alice: httpx.AsyncClient, worker: None) -> None:
    body = graph(
        [
            node("items", "step_through_items_block", items=["a", "b", "c"]),
            node("review", "human_in_the_loop_block", name="Each?"),
            node("out", "agent_output_block", name="approved"),
        ],
        ["items.item -> review.data", "review.approved_data -> out.value"],
    )
    execution = await start(alice, await save(alice, body))

    async def all_asked() -> list[dict[str, Any]]:
        rows = await reviews_of(alice, execution["id"])
        return rows if len(rows) == 3 else []

    rows = await eventually(all_asked)
    for row in sorted(rows, key=lambda row: str(row["data"]), reverse=True):
        assert (await answer(alice, row, approved=True)).status_code == 200
    assert (await wait(alice, execution["id"]))["outputs"] == {"approved": ["a", "b", "c"]}


async def test_reviews_go_on_from_one_workflow_run_to_the_next(engine: Engine) -> None:
    nodes: dict[str, Any] = {f"n{k}": ("probe", {"value": k}) for k in range(25)}
    nodes |= {
        "asked": ("human_in_the_loop_block", {"data": 1, "name": "?", "timeout_seconds": 600}),
        "late": ("human_in_the_loop_block", {"data": 2, "name": "?", "timeout_seconds": 3}),
        "answered": ("agent_output_block", {"name": "answered"}),
        "missed": ("agent_output_block", {"name": "missed"}),
    }
    links = [f"n{k}.out -> n{k + 1}.value" for k in range(24)]
    links += ["asked.approved_data -> answered.value", "late.timed_out -> missed.value"]
    async with engine.worker():
        handle = await engine.start(make_graph(nodes, links), limits=limited(events_per_run=60))
        first = (await handle.describe()).run_id

        async def is_long_under_way() -> bool:
            done = len(engine.probe.calls) == 25
            return done and (await handle.describe()).run_id != first

        await eventually(is_long_under_way, timeout_seconds=60)
        decision = Decision(approved=True, by="somebody")
        await engine.client.get_workflow_handle(handle.id).signal(
            RELEASE_SIGNAL, Release(25, 1, decision=decision)
        )
        record = await engine.end(handle)
    assert (record.status, record.outputs["answered"], record.outputs["missed"]) == ("COMPLETED", [1], [2])


async def test_a_review_that_cannot_be_asked_fails(alice: httpx.AsyncClient, worker: None) -> None:
    ended = await start(alice, await save(alice, asking(1, schema={"$ref": "http://127.0.0.1/"})), wait=20)
    assert (ended["status"], ended["error"]["code"]) == ("FAILED", "INVALID_INPUT")
    assert await reviews_of(alice, ended["id"]) == []


async def test_a_review_cannot_be_tried_on_its_own(alice: httpx.AsyncClient, worker: None) -> None:
    path = "/api/blocks/human_in_the_loop_block/execute"
    refused = await alice.post(path, json={"inputs": {"data": 1, "name": "x"}})
    assert (refused.status_code, refused.json()["error"]["error_code"]) == (400, "NOT_SUPPORTED")


async def test_while_temporal_is_away_nothing_is_answered(
    alice: httpx.AsyncClient, engine: Engine, stack: Stack
) -> None:
    async with engine.worker():
        review = await ask(alice)
    await stack.temporal.kill()
    try:
        refused = await answer(alice, review, approved=True)
        assert (refused.status_code, refused.json()["error"]["error_code"]) == (503, "ENGINE_UNAVAILABLE")
        assert (await alice.get("/api/reviews")).json()["items"][0]["status"] == "open"
    finally:
        await stack.temporal.start()

    async def is_taken() -> bool:
        given = await answer(alice, review, approved=False)
        return given.status_code == 200

    await eventually(is_taken, timeout_seconds=30)
    async with engine.worker():
        assert (await wait(alice, review["execution_id"]))["outputs"] == {"rejected_data": [1]}

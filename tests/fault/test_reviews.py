"""Reviews while things die: asked once, answered once, whatever is killed between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from tests.e2e.rest import assert_whole_log, graph, node, nodes_of, save, start, wait
from tests.fault.mortals import MortalWorker
from tests.processes import ServerProcess, WorkerProcess
from tests.reviews import answer, asked, asking, reviews_of
from tests.stack import eventually

COUNTED = ("review_requested", "review_answered", "execution_waiting")


async def ask(client: httpx.AsyncClient, **constants: Any) -> dict[str, Any]:
    execution = await start(client, await save(client, asking({"n": 1}, **constants)))
    review = await asked(client, execution["id"])

    async def is_waiting() -> bool:
        response = await client.get(f"/api/executions/{execution['id']}")
        return bool(response.json()["status"] == "WAITING")

    await eventually(is_waiting)
    return review


async def assert_approved_once(client: httpx.AsyncClient, review: dict[str, Any], data: Any) -> None:
    ended = await wait(client, review["execution_id"])
    assert (ended["status"], ended["outputs"]) == ("COMPLETED", {"approved_data": [data]}), ended["error"]
    events = [event["type"] for event in await assert_whole_log(client, review["execution_id"])]
    assert [events.count(type) for type in COUNTED] == [1, 1, 1]
    assert len(await reviews_of(client, review["execution_id"])) == 1
    assert [len(rows) for rows in (await nodes_of(client, review["execution_id"])).values()] == [1, 1]


async def test_a_review_and_its_answer_survive_the_death_of_worker_and_api(
    api_process: Callable[[], ServerProcess], worker_process: Callable[..., WorkerProcess]
) -> None:
    first, worker = await api_process().ready(), await worker_process().ready()
    async with first.client() as client:
        reviews = [await ask(client) for _ in range(3)]
        worker.kill()
        # Two answers while the worker is dead; the API dies right after them.
        assert (await answer(client, reviews[0], approved=True)).status_code == 200
        assert (await answer(client, reviews[1], approved=True, data={"n": 2})).status_code == 200
    first.kill()

    worker_process()
    second = await api_process().ready()
    async with second.client() as client:
        assert (await answer(client, reviews[0], approved=False)).status_code == 409
        # The link that was handed out before is still good.
        path = httpx.URL(reviews[2]["link"]).path
        async with httpx.AsyncClient(base_url=second.run_info.api_url, timeout=30) as holder:
            assert (await holder.post(path, json={"approved": True})).status_code == 200
        for review, data in zip(reviews, ({"n": 1}, {"n": 2}, {"n": 1}), strict=True):
            await assert_approved_once(client, review, data)


async def test_an_answer_is_taken_while_no_worker_runs_and_carried_out_when_one_does(
    caller: httpx.AsyncClient, mortal_worker: MortalWorker
) -> None:
    review = await ask(caller)
    with mortal_worker.frozen():
        answers = [await answer(caller, review, approved=given) for given in (True, False)]
        assert [given.status_code for given in answers] == [200, 409]
        assert (await reviews_of(caller, review["execution_id"]))[0]["approved"] is True
    await assert_approved_once(caller, review, {"n": 1})


async def test_a_stop_withdraws_a_review_although_no_worker_runs(
    caller: httpx.AsyncClient, mortal_worker: MortalWorker
) -> None:
    review = await ask(caller)
    with mortal_worker.frozen():
        stopped = await caller.post(f"/api/executions/{review['execution_id']}/stop")
        assert stopped.json()["status"] == "CANCELLED"
        assert (await answer(caller, review, approved=True)).status_code == 409

    async def is_withdrawn() -> bool:
        return [row["status"] for row in await reviews_of(caller, review["execution_id"])] == ["withdrawn"]

    await eventually(is_withdrawn)


async def test_a_block_cannot_answer_for_its_own_graph(
    api_process: Callable[[], ServerProcess], worker_process: Callable[..., WorkerProcess]
) -> None:
    worker_process(ALLOWED_PRIVATE_HOSTS="")
    api = await api_process().ready()
    async with api.client() as client:
        review = await ask(client)
        body = graph(
            [
                node(
                    "call",
                    "send_web_request_block",
                    url=review["link"],
                    method="POST",
                    body={"approved": True},
                ),
                node("out", "agent_output_block", name="refused"),
            ],
            ["call.error -> out.value"],
        )
        ended = await wait(client, (await start(client, await save(client, body)))["id"])
        assert ended["status"] == "COMPLETED", ended["error"]
        assert len(ended["outputs"]["refused"]) == 1
        assert (await reviews_of(client, review["execution_id"]))[0]["status"] == "open"

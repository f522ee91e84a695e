"""Reviews that nobody answers in time."""

from __future__ import annotations

import httpx

from tests.e2e.rest import get, wait
from tests.engine import Engine
from tests.reviews import LETTER, answer, ask, reviews_of, types_of
from tests.stack import eventually


async def test_no_answer_in_time_takes_its_own_branch(alice: httpx.AsyncClient, worker: None) -> None:
    review = await ask(alice, LETTER, timeout_seconds=1.5, remind_after_seconds=0.5)
    assert review["due_at"]
    ended = await wait(alice, review["execution_id"])
    assert (ended["status"], ended["outputs"]) == ("COMPLETED", {"timed_out": [LETTER]})
    types = await types_of(alice, review["execution_id"])
    assert types.index("review_reminder") < types.index("review_timed_out")
    assert types.count("review_reminder") == 1
    closed = (await reviews_of(alice, review["execution_id"]))[0]
    assert (closed["status"], closed["approved"]) == ("timed_out", None)
    assert (await answer(alice, review, approved=True)).status_code == 409


async def test_no_answer_in_time_is_a_failure_when_no_link_takes_it(
    alice: httpx.AsyncClient, worker: None
) -> None:
    review = await ask(alice, unlinked="timed_out", timeout_seconds=0.5)
    ended = await wait(alice, review["execution_id"])
    assert ended["status"] == "FAILED"
    assert (ended["error"]["code"], ended["error"]["node_id"]) == ("REVIEW_TIMED_OUT", "review")


async def test_a_time_out_waits_for_an_answer_that_is_being_taken_and_yields_to_it(
    alice: httpx.AsyncClient, engine: Engine, worker: None
) -> None:
    review = await ask(alice, timeout_seconds=1)
    given = {"approved": True, "by": "somebody", "message": "", "data": None}

    async def somebody_waits() -> bool:
        query = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple'))"
        return bool(await engine.pool.fetchval(query))

    async with engine.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "UPDATE reviews SET status = 'answered', answer = $2, closed_at = now() WHERE id = $1",
            review["node_execution_id"],
            given,
        )
        await eventually(somebody_waits)
        assert (await get(alice, review["execution_id"]))["status"] in {"RUNNING", "WAITING"}
    ended = await wait(alice, review["execution_id"])
    assert ended["outputs"] == {"approved_data": [1]}
    assert "review_timed_out" not in await types_of(alice, review["execution_id"])


async def test_an_answer_after_its_time_is_refused_also_while_no_worker_is_there(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    async with engine.worker():
        review = await ask(alice, timeout_seconds=2)

    async def is_late() -> bool:
        return bool((await reviews_of(alice, review["execution_id"]))[0]["status"] == "timed_out")

    await eventually(is_late)
    assert (await answer(alice, review, approved=True)).status_code == 409
    assert (await alice.get("/api/reviews", params={"status": "open"})).json()["items"] == []
    timed_out = (await alice.get("/api/reviews", params={"status": "timed_out"})).json()["items"]
    assert [row["node_execution_id"] for row in timed_out] == [review["node_execution_id"]]
    async with engine.worker():
        assert (await wait(alice, review["execution_id"]))["outputs"] == {"timed_out": [1]}

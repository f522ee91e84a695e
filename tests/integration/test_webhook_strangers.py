"""Whoever sends to webhooks without being able to prove it, or too much: nothing is learnt, and nobody held up."""

from __future__ import annotations

import sys
import types
import uuid
from collections import Counter
from typing import Any

import httpx
from sqlalchemy import event
from temporalio.client import Client

from app.api.edge.rate_limits import RateRules
from tests.e2e.rest import save
from tests.engine import Engine
from tests.rest_api import RestApi, run_api
from tests.webhooks import ECHO, Sender, deliver, make_webhook


async def work_for(api: RestApi, made: dict[str, Any], sender: Sender) -> Counter[str]:
    """Return what an API does for a delivery: its statements, and what it computes with keys."""
    done: Counter[str] = Counter()

    def note_statement(*given: Any) -> None:
        done[given[2]] += 1

    def note_call(_: types.FrameType, kind: str, called: Any) -> None:
        if kind == "c_call" and called.__name__ in {"hmac_new", "hmac_digest", "compare_digest", "decrypt"}:
            done[called.__name__] += 1

    engines = [
        each.sync_engine
        for each in (api.application.state.resources.system, api.application.state.resources.tenants)
    ]
    for each in engines:
        event.listen(each, "before_cursor_execute", note_statement)
    sys.setprofile(note_call)
    try:
        async with api.caller(token="") as outside:
            response = await deliver(outside, made, sender=sender, body=b"{}" * 1000)
    finally:
        sys.setprofile(None)
        for each in engines:
            event.remove(each, "before_cursor_execute", note_statement)
    assert response.status_code == 401
    return done


async def test_as_much_is_done_for_an_id_that_nothing_has(api: RestApi, alice: httpx.AsyncClient) -> None:
    made = await make_webhook(alice, await save(alice, ECHO), input="x")
    stranger = Sender(scheme="standard", secret="whsec_" + "c3RyYW5nZXI=" * 3)
    nowhere = {**made, "url": made["url"].replace(made["id"], str(uuid.uuid4()))}
    for_unknown = await work_for(api, nowhere, stranger)
    assert await work_for(api, made, stranger) == for_unknown
    assert {"hmac_new", "compare_digest", "decrypt"} <= for_unknown.keys()
    assert sum(" webhooks" in statement for statement in for_unknown) == 1
    await alice.post(f"/api/webhooks/{made['id']}/rotate", json={})
    assert await work_for(api, made, stranger) == for_unknown


async def test_a_storm_holds_up_neither_its_owner_nor_their_other_webhooks(
    engine: Engine, client: Client
) -> None:
    async def connect() -> Client:
        return client

    rates = RateRules(per_user="8/day", starts_per_user="6/day")
    async with (
        run_api(engine.database_url, connect, task_queue=engine.task_queue, rates=rates) as api,
        api.caller() as owner,
        api.caller(token="") as sender,
    ):
        graph_id = await save(owner, ECHO)
        stormy, calm = [await make_webhook(owner, graph_id, input="x") for _ in range(2)]
        forged = Sender(scheme="standard", secret=calm["secret"])
        refusals = [await deliver(sender, stormy, sender=forged) for _ in range(9)]
        assert [answer.status_code for answer in refusals] == [401] * 8 + [429]
        # From the same address. Whoever sends for many users is not held up by one that cannot prove it.
        answers = [await deliver(sender, stormy) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert int(answers[-1].headers["Retry-After"]) > 0
        assert (await deliver(sender, calm)).status_code == 200
        assert (await owner.post(f"/api/graphs/{graph_id}/execute", json={})).status_code == 200

"""How many webhooks, presets and publications a user may have: the last place is taken, and no other."""

from __future__ import annotations

from typing import Any

import httpx

from app.models.presets import MOST_PRESETS
from app.models.publications import MOST_PUBLICATIONS
from app.models.webhooks import MOST_WEBHOOKS
from tests.e2e.rest import save
from tests.engine import Engine
from tests.webhooks import ECHO

COPIES = {
    "webhooks": "INSERT INTO webhooks SELECT (jsonb_populate_record(w, jsonb_build_object('id', gen_random_uuid()))).*"
    " FROM webhooks w, generate_series(1, $2) WHERE user_id = $1",
    "presets": "INSERT INTO presets SELECT (jsonb_populate_record(p, jsonb_build_object('id', gen_random_uuid()))).*"
    " FROM presets p, generate_series(1, $2) WHERE user_id = $1",
}
"""Makes so many more of the one there is."""


async def test_a_user_has_so_many_webhooks_and_presets_and_no_more(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    graph_id, owner = await save(alice, ECHO), (await alice.get("/api/user")).json()["id"]
    given: dict[str, tuple[int, dict[str, Any]]] = {
        "webhooks": (MOST_WEBHOOKS, {"scheme": "token"}),
        "presets": (MOST_PRESETS, {}),
    }
    for noun, (most, more) in given.items():
        body = {"graph_id": graph_id, "name": "one", **more}
        made = await alice.post(f"/api/{noun}", json=body)
        await engine.pool.execute(COPIES[noun], owner, most - 2)
        statuses = [(await alice.post(f"/api/{noun}", json=body)).status_code for _ in range(2)]
        assert statuses == [201, 409], noun
        assert (await alice.delete(f"/api/{noun}/{made.json()['id']}")).status_code == 204
        assert (await alice.post(f"/api/{noun}", json=body)).status_code == 201, noun


async def test_a_user_publishes_so_many_graphs_and_no_more(alice: httpx.AsyncClient, engine: Engine) -> None:
    first, second, owner = [
        *[await save(alice, ECHO) for _ in range(2)],
        (await alice.get("/api/user")).json(),
    ]
    paths = [f"/api/graphs/{graph_id}/publication" for graph_id in (first, second)]
    await engine.pool.execute(
        "INSERT INTO publications (graph_id, user_id, slug)"
        " SELECT gen_random_uuid(), $1, 'p' || number FROM generate_series(2, $2) number",
        owner["id"],
        MOST_PUBLICATIONS,
    )
    for slug, statuses in (("first", [200, 409]), ("renamed", [200, 409])):
        answers = [await alice.put(path, json={"slug": f"{slug}-{n}"}) for n, path in enumerate(paths)]
        assert [answer.status_code for answer in answers] == statuses, answers[0].text

"""Signed links: they lead to one question, for whoever has them, once."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.api.policies import Scope
from app.api.review_links import LinkSigner, ReviewLink
from app.encryption.keys import EncryptionKey
from tests.api_keys import holding, make_key
from tests.e2e.rest import save, start, wait
from tests.engine import KEYS, Engine
from tests.rest_api import RestApi
from tests.reviews import answer, asked, asking, reviews_of
from tests.stack import eventually

LETTER = {"to": "a@example.org", "text": "Hello <b>"}
BROWSER = {"Accept": "text/html,application/xhtml+xml"}
SIGNER = LinkSigner(KEYS)


@pytest.fixture
async def holder(api: RestApi) -> AsyncIterator[httpx.AsyncClient]:
    """A client without any token."""
    async with api.caller(token="") as client:
        yield client


async def ask(client: httpx.AsyncClient, data: Any = LETTER, **constants: Any) -> dict[str, Any]:
    execution = await start(client, await save(client, asking(data, **constants)))
    return await asked(client, execution["id"])


def told(response: httpx.Response) -> dict[str, Any]:
    """Return an error without what is of this request alone."""
    error: dict[str, Any] = response.json()["error"]
    return {name: value for name, value in error.items() if name not in ("timestamp", "request_id")}


async def test_the_holder_of_a_link_sees_the_question_and_answers_it_once(
    alice: httpx.AsyncClient, holder: httpx.AsyncClient, worker: None
) -> None:
    review = await ask(alice, instructions="Look twice")
    link = review["link"]
    assert link.startswith("http://api.test/api/reviews/link/")

    assert (await holder.get(link)).status_code == 200
    question = (await holder.get(link)).json()  # looking does not use it up
    assert (question["name"], question["instructions"], question["data"]) == (
        "Send it?",
        "Look twice",
        LETTER,
    )
    assert not {"execution_id", "graph_id", "link"} & question.keys()

    edited = {**LETTER, "text": "Bye"}
    taken = await holder.post(link, json={"approved": True, "data": edited, "message": "ok"})
    assert (taken.status_code, taken.json()["status"]) == (200, "answered")
    ended = await wait(alice, review["execution_id"])
    assert ended["outputs"] == {"approved_data": [edited], "review_message": ["ok"]}
    assert (await reviews_of(alice, review["execution_id"]))[0]["answered_by"] == "link"

    again = [await holder.post(link, json={"approved": False}), await holder.get(link)]
    assert [response.status_code for response in again] == [409, 409]
    assert (await answer(alice, review, approved=False)).status_code == 409


async def test_a_link_and_its_owner_who_answer_at_once_are_not_both_taken(
    alice: httpx.AsyncClient, holder: httpx.AsyncClient, worker: None
) -> None:
    review = await ask(alice)
    answers = await asyncio.gather(
        answer(alice, review, approved=True),
        *(holder.post(review["link"], json={"approved": False}) for _ in range(3)),
    )
    assert sorted(given.status_code for given in answers) == [200, 409, 409, 409]
    ended = await wait(alice, review["execution_id"])
    assert set(ended["outputs"]) == {"approved_data" if answers[0].status_code == 200 else "rejected_data"}


async def test_a_person_answers_in_a_browser(
    alice: httpx.AsyncClient, holder: httpx.AsyncClient, worker: None
) -> None:
    review = await ask(alice)
    page = await holder.get(review["link"], headers=BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    field = re.search(r"<textarea name=\"data\"[^>]*>\n(.*?)</textarea>", page.text, re.DOTALL)
    assert field is not None
    shown = unescape(field[1])
    assert json.loads(shown) == LETTER

    broken = await holder.post(review["link"], data={"approved": "true", "data": shown[:-1]}, headers=BROWSER)
    assert (broken.status_code, broken.headers["content-type"][:9]) == (422, "text/html")
    # A browser sends what it shows, with its own line ends.
    form = {"approved": "true", "data": shown.replace("\n", "\r\n"), "message": "a\r\nb"}
    thanks = await holder.post(review["link"], data=form, headers=BROWSER)
    assert (thanks.status_code, thanks.headers["content-type"][:9]) == (200, "text/html")
    ended = await wait(alice, review["execution_id"])
    assert ended["outputs"] == {"approved_data": [LETTER], "review_message": ["a\nb"]}
    late = await holder.get(review["link"], headers=BROWSER)
    assert (late.status_code, late.headers["content-type"][:9]) == (409, "text/html")


async def test_a_person_rejects_in_a_browser_what_may_not_be_edited(
    alice: httpx.AsyncClient, holder: httpx.AsyncClient, worker: None
) -> None:
    review = await ask(alice, editable=False)
    assert 'name="data"' not in (await holder.get(review["link"], headers=BROWSER)).text
    form = {"approved": "false", "data": "1", "message": ""}
    assert (await holder.post(review["link"], data=form, headers=BROWSER)).status_code == 200
    assert (await wait(alice, review["execution_id"]))["outputs"] == {"rejected_data": [LETTER]}


JSON, FORM = "application/json", "application/x-www-form-urlencoded"
NO_ANSWERS = [
    (JSON, b""),
    (JSON, b"{"),
    (JSON, b'{"approved": true, "approved": false}'),
    (JSON, b'{"approved": 1}'),
    (JSON, b"approved=true"),
    (FORM, b""),
    (FORM, b"approved=yes"),
    (FORM, b"approved=true&message=%00"),
    (FORM, b"approved=true&message=%ff"),
    (FORM, b"approved=true&data=%7B"),
    (FORM, b"&".join([b"approved=true"] * 50)),
    ("multipart/form-data; boundary=x", b"--x--"),
    ("text/plain", b'{"approved": "true"}'),
]


async def test_a_body_that_is_no_answer_answers_nothing(
    alice: httpx.AsyncClient, holder: httpx.AsyncClient, engine: Engine
) -> None:
    async with engine.worker():
        review = await ask(alice)
    for kind, body in NO_ANSWERS:
        refused = await holder.post(review["link"], content=body, headers={"Content-Type": kind})
        assert (refused.status_code, refused.json()["error"]["error_code"]) == (422, "INVALID_REQUEST"), body
    assert (await reviews_of(alice, review["execution_id"]))[0]["status"] == "open"


async def test_a_link_that_is_none_leads_nowhere_and_tells_nothing(
    alice: httpx.AsyncClient, holder: httpx.AsyncClient, worker: None
) -> None:
    review = await ask(alice)
    prefix, token = review["link"].rsplit("/", 1)
    real = SIGNER.read(token)
    later = datetime.now(UTC) + timedelta(days=1)
    other = await ask(alice, 2)
    tokens = {
        "forged": LinkSigner([EncryptionKey(b"x" * 32)]).write(real),
        "changed": token[:-5] + "AAAAA",
        "expired": SIGNER.write(ReviewLink(real.execution_id, real.review_id, real.shown, datetime.now(UTC))),
        "other data": SIGNER.write(ReviewLink(real.execution_id, real.review_id, b"x" * 32, later)),
        "other execution": SIGNER.write(
            ReviewLink(UUID(other["execution_id"]), real.review_id, real.shown, later)
        ),
        "nonsense": "x",
    }
    unsigned = {"forged", "changed", "expired", "nonsense"}
    nothing = told(await holder.get(f"{prefix}/nothing"))
    for name, bad in tokens.items():
        for response in (
            await holder.get(f"{prefix}/{bad}"),
            await holder.post(f"{prefix}/{bad}", json={"approved": True}),
            # Who has no link does not learn either what body is taken.
            await holder.post(f"{prefix}/{bad}", content=b"{" if name in unsigned else b'{"approved":true}'),
        ):
            assert response.status_code == 404, name
            assert told(response) == nothing, name
    assert (await reviews_of(alice, review["execution_id"]))[0]["status"] == "open"
    assert (await holder.get(review["link"])).status_code == 200


async def test_a_link_ends_with_the_time_for_an_answer(
    alice: httpx.AsyncClient, holder: httpx.AsyncClient, engine: Engine
) -> None:
    async with engine.worker():
        review = await ask(alice, timeout_seconds=2)
    due = datetime.fromisoformat(review["due_at"])
    assert SIGNER.read(review["link"].rsplit("/", 1)[1]).expires_at <= due

    async def has_ended() -> bool:
        return (await holder.get(review["link"])).status_code == 404

    await eventually(has_ended)
    assert (await holder.post(review["link"], json={"approved": True})).status_code == 404


async def test_a_link_ends_with_the_execution_and_leads_nowhere_once_that_is_deleted(
    alice: httpx.AsyncClient, holder: httpx.AsyncClient, worker: None
) -> None:
    review = await ask(alice)
    await alice.post(f"/api/executions/{review['execution_id']}/stop")
    assert (await holder.post(review["link"], json={"approved": True})).status_code == 409
    await alice.delete(f"/api/executions/{review['execution_id']}")
    assert (await holder.get(review["link"])).status_code == 404


async def test_a_link_is_given_to_the_owner_alone(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, holder: httpx.AsyncClient, worker: None
) -> None:
    review = await ask(alice)
    token = review["link"].rsplit("/", 1)[1]
    for client in (bob, holder):
        for path in ("/api/reviews", f"/api/executions/{review['execution_id']}/reviews"):
            assert token not in (await client.get(path)).text
    # Nor does the execution itself tell it, whose record is shown to more eyes.
    path = f"/api/executions/{review['execution_id']}"
    for part in ("", "/nodes", "/events"):
        assert "/link/" not in (await alice.get(path + part)).text


async def test_a_key_that_may_not_answer_is_given_no_link(
    api: RestApi, alice: httpx.AsyncClient, worker: None
) -> None:
    """An agent that reads its own executions would find in them the permission to approve its own step."""
    review = await ask(alice)
    every = set(Scope) - {Scope.ADMIN}
    for scopes, is_given in ((every - {Scope.REVIEWS_WRITE}, False), (every, True)):
        async with holding(api, await make_key(alice, *scopes)) as key:
            for path in ("/api/reviews", f"/api/executions/{review['execution_id']}/reviews"):
                (shown,) = (await key.get(path)).json()["items"]
                assert (shown["link"] is not None) is is_given, (path, is_given)
                assert shown["node_execution_id"] == review["node_execution_id"]

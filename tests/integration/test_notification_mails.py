"""Notifications by e-mail: to nobody but their owner, and with nothing slipped in."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import httpx
import jwt
import pytest
from temporalio.client import Client

from app.api.auth import issue_token
from tests.e2e.rest import sums
from tests.engine import Engine
from tests.notifications import (
    SENDER,
    delivering,
    ended,
    notify,
    notifying,
    run,
    server_of,
    shown,
)
from tests.rest_api import SECRET, RestApi, run_api
from tests.stubs import MailStub


@pytest.fixture
async def api(engine: Engine) -> AsyncIterator[RestApi]:
    async with notifying(engine) as running:
        yield running


@pytest.fixture
async def mail() -> AsyncIterator[MailStub]:
    async with MailStub("perdure", "a password") as stub:
        yield stub


class TestEmail:
    async def test_it_goes_to_the_own_address_and_holds_what_it_is_told_on_one_line(
        self, engine: Engine, api: RestApi, mail: MailStub
    ) -> None:
        address = f"{uuid.uuid4()}@example.org"
        async with api.caller(address) as caller:
            made = await notify(caller, email=address.upper())
            body = sums(2) | {"name": "Sums \u2028Bcc: victim@example.org"}
            async with delivering(engine, mail=server_of(mail)):
                execution = await run(caller, body)
                await ended(caller, made, "delivered")
        [letter] = mail.messages
        assert (letter["To"], letter["From"]) == (address, SENDER)
        assert letter["Bcc"] is None
        assert letter["Subject"] == "Execution completed: Sums Bcc: victim@example.org"
        payload = letter.get_payload(decode=True)
        assert isinstance(payload, bytes)
        text = payload.decode()
        assert execution["id"] in text
        assert f"PATCH or DELETE /api/notifications/{made['id']}" in text
        assert made["target"] == address
        claims = jwt.decode(issue_token(SECRET, email=address), options={"verify_signature": False})
        moved = jwt.encode({**claims, "email": "moved@example.org"}, SECRET)
        async with api.caller(token=moved) as caller:
            assert (await shown(caller, made))["target"] == "moved@example.org"

    async def test_no_other_address_is_written_to(self, alice: httpx.AsyncClient) -> None:
        body = {
            "name": "x",
            "channel": "email",
            "email": "victim@example.org",
            "events": ["execution.failed"],
        }
        response = await alice.post("/api/notifications", json=body)
        assert response.status_code == 422
        assert "own address" in response.text

    async def test_without_a_mail_server_it_is_refused(self, engine: Engine, client: Client) -> None:
        async def connect() -> Client:
            return client

        body = {"name": "x", "channel": "email", "events": ["execution.failed"]}
        async with (
            run_api(engine.database_url, connect, task_queue=engine.task_queue) as api,
            api.caller() as caller,
        ):
            response = await caller.post("/api/notifications", json=body)
        assert response.status_code == 409
        assert response.json()["error"]["error_code"] == "EMAIL_DISABLED"

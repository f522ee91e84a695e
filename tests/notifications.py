"""A receiver of webhooks that checks what it is sent, and what has things delivered to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from temporalio.client import Client

from app.notifying.rules import DeliveryRules
from app.outbound.mail import MailServer, MailTls
from app.workers.config import WorkerConfig
from app.workers.opening import make_workers
from tests.e2e.rest import save, start, wait
from tests.engine import KEYS, Engine
from tests.rest_api import RestApi, run_api
from tests.stack import eventually
from tests.stubs import MailStub, Served
from tests.workflow_sandbox import Sandbox

HERE = frozenset({"127.0.0.1"})
QUICK = DeliveryRules(first_wait=timedelta(seconds=0.05), attempt_seconds=5.0, busy_seconds=0.1)
SENDER = "perdure@example.org"
EVERYTHING = ["execution.completed", "execution.failed", "execution.cancelled", "review.requested"]


@dataclass(frozen=True)
class Message:
    """What came."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content

    def verify(self, secret: str) -> dict[str, Any]:
        """Return what it says, if it is signed with this secret; raise otherwise."""
        content: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return content


@dataclass
class Receiver:
    """Takes webhooks at `url`, and answers as it is told."""

    url: str = ""
    messages: list[Message] = field(default_factory=list)
    answer: Callable[[Message], Response] = lambda _: Response(status_code=204)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    """Whatever comes to `/held` is answered when this is set."""

    @property
    def types(self) -> list[str]:
        return [message.content["type"] for message in self.messages]

    async def take(self, request: Request) -> Response:
        body = (await request.body()).decode()
        message = Message(request.url.path, dict(request.headers), body)
        self.messages.append(message)
        if request.url.path == "/held":
            await self.let_go.wait()
        return self.answer(message)

    async def has(self, count: int = 1, timeout_seconds: float = 60) -> list[Message]:
        """Wait until so many have come; return them."""
        await eventually(lambda: len(self.messages) >= count, timeout_seconds=timeout_seconds)
        return self.messages


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver()
    async with Served(
        Starlette(routes=[Route("/{path:path}", receiver.take, methods=["POST", "GET"])])
    ) as served:
        receiver.url = served.url
        try:
            yield receiver
        finally:
            receiver.let_go.set()


@asynccontextmanager
async def notifying(engine: Engine, **changes: Any) -> AsyncIterator[RestApi]:
    """Run an API that takes URLs of this machine, and e-mail; `changes` are fields of its configuration."""

    async def connect() -> Client:
        return engine.client

    given: dict[str, Any] = {"allowed_private_hosts": HERE, "sends_mail": True, **changes}
    async with run_api(
        engine.database_url, connect, registry=engine.registry, task_queue=engine.task_queue, **given
    ) as running:
        yield running


def server_of(mail: MailStub) -> MailServer:
    """Return how a worker reaches a mail server."""
    return MailServer("127.0.0.1", mail.port, SENDER, MailTls.NONE, "perdure", "a password")


async def run(client: httpx.AsyncClient, body: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    """Save a graph and execute it to its end."""
    started = await start(client, await save(client, body), inputs)
    return await wait(client, started["id"])


@asynccontextmanager
async def delivering(engine: Engine, client: Client | None = None, **changes: Any) -> AsyncIterator[None]:
    """Run a worker that may call this machine; `changes` are fields of its configuration."""
    given: dict[str, Any] = {
        "encryption_keys": KEYS,
        "graceful_shutdown_seconds": 0.5,
        "allowed_private_hosts": HERE,
        "delivery_rules": QUICK,
        **changes,
    }
    config = WorkerConfig(engine.database_url, engine.task_queue, **given)
    async with (
        make_workers(
            client or engine.client,
            config,
            runner=Sandbox(),
            registry=engine.registry,
            tallies=engine.tallies,
        ) as workers,
        AsyncExitStack() as running,
    ):
        for worker in workers:
            await running.enter_async_context(worker)
        yield


async def notify(client: httpx.AsyncClient, url: str | None = None, **more: Any) -> dict[str, Any]:
    """Make a notification; return it with its secret."""
    body = {"name": "mine", "channel": "webhook" if url else "email", "events": EVERYTHING, **more}
    response = await client.post("/api/notifications", json={**body, **({"url": url} if url else {})})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def try_out(client: httpx.AsyncClient, notification: dict[str, Any]) -> dict[str, Any]:
    """Have a test delivered; return the delivery."""
    response = await client.post(f"/api/notifications/{notification['id']}/test")
    assert response.status_code == 202, response.text
    delivery: dict[str, Any] = response.json()
    return delivery


async def tried(client: httpx.AsyncClient, notification: dict[str, Any]) -> dict[str, Any]:
    """Have a test delivered; return the delivery when it has been tried."""
    await try_out(client, notification)

    async def found() -> dict[str, Any]:
        [delivery] = await deliveries_of(client, notification)
        return delivery if delivery["attempts"] else {}

    return await eventually(found)


async def deliveries_of(
    client: httpx.AsyncClient, notification: dict[str, Any], **params: Any
) -> list[dict[str, Any]]:
    """Return what a notification has told, newest first."""
    path = f"/api/notifications/{notification['id']}/deliveries"
    response = await client.get(path, params=params)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def ended(
    client: httpx.AsyncClient, notification: dict[str, Any], status: str, *, count: int = 1
) -> list[dict[str, Any]]:
    """Wait until so many deliveries of a notification stand so; return them."""

    async def found() -> list[dict[str, Any]]:
        rows = await deliveries_of(client, notification, status=status)
        return rows if len(rows) >= count else []

    return await eventually(found)


async def shown(client: httpx.AsyncClient, notification: dict[str, Any]) -> dict[str, Any]:
    """Return a notification as it now is."""
    response = await client.get(f"/api/notifications/{notification['id']}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found

"""The API in the test's own process, in front of the stack's Postgres and Temporal, and callers of it."""

from __future__ import annotations

import functools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
from fastapi import FastAPI
from temporalio.client import Client

from app.api.application import make_application
from app.api.auth import issue_token
from app.api.config import ApiConfig
from app.blocks.registry import BlockRegistry
from tests.engine import KEYS

SECRET = "a-secret-of-the-tests-that-is-long-enough"


@dataclass(frozen=True)
class RestApi:
    """A running API."""

    application: FastAPI

    @property
    def document(self) -> dict[str, Any]:
        """Its OpenAPI document. All applications of a process have the same routes, so it is made once there."""
        return _make_document()

    @asynccontextmanager
    async def caller(
        self, email: str | None = None, *, token: str | None = None
    ) -> AsyncIterator[httpx.AsyncClient]:
        """Give a client that speaks for a user of its own, or with some token; an empty one is not sent."""
        bearer = issue_token(SECRET, email=email or f"{uuid.uuid4()}@example.org") if token is None else token
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        transport = httpx.ASGITransport(app=self.application)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://api.test", headers=headers, timeout=60
        ) as client:
            yield client


@functools.cache
def _make_document() -> dict[str, Any]:
    async def connect() -> Client:
        raise OSError("Nobody is to be connected")

    config = ApiConfig(database_url="postgresql://nobody@localhost/nothing", jwt_secret=SECRET)
    return make_application(config, connect).openapi()


@asynccontextmanager
async def run_api(
    database_url: str,
    connect: Callable[[], Awaitable[Client]],
    *,
    registry: BlockRegistry | None = None,
    **changes: Any,
) -> AsyncIterator[RestApi]:
    """Run an API on a migrated database, with the usual blocks or others; `changes` are fields of its configuration."""
    config = ApiConfig(database_url=database_url, jwt_secret=SECRET, encryption_keys=KEYS)
    config = replace(config, **changes)
    application = make_application(config, connect, registry=registry)
    async with application.router.lifespan_context(application):
        yield RestApi(application)

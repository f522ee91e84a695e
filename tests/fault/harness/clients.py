"""A client as it should be: it repeats what was refused or got lost, and never what was answered."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx

from app.api.auth import issue_token
from tests.e2e.rest import TERMINAL
from tests.fault.harness.system import JWT_SECRET

REQUEST_SECONDS = 20.0
REST_SECONDS = 0.2
PATIENCE_SECONDS = 90.0
LAST_EVENTS = {f"execution_{status.lower()}" for status in TERMINAL}


class NoAnswer(AssertionError):
    """No API has answered with anything but a refusal, for longer than any fault lasts."""


@dataclass
class Client:
    """One user, who talks to whichever API answers."""

    user: str
    urls: Sequence[str]
    scandals: list[str] = field(default_factory=list)
    """Answers that an API must never give."""
    refusals: int = 0
    """How often an API said 503, or nothing."""
    credentials_id: str = ""
    """Of the credentials that its executions use."""

    async def __aenter__(self) -> Self:
        token = issue_token(JWT_SECRET, email=self.user)
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"}, timeout=REQUEST_SECONDS, trust_env=False
        )
        self._turns = itertools.cycle(self.urls)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Ask until there is an answer that is not a refusal.

        Raises:
            NoAnswer: There was none in time.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            response = await self.ask_once(method, path, **given)
            if response is not None:
                return response
            await asyncio.sleep(REST_SECONDS)
        raise NoAnswer(f"{method} {path}: no answer for {PATIENCE_SECONDS:g} s")

    async def ask_once(self, method: str, path: str, **given: Any) -> httpx.Response | None:
        """Ask once; None when that was refused or the answer got lost."""
        try:
            response = await self._http.request(method, f"{next(self._turns)}{path}", **given)
        except httpx.TransportError:
            self.refusals += 1
            return None
        if response.status_code == 503:
            self.refusals += 1
            return None
        if response.status_code >= 500:
            self.scandals.append(f"{method} {path} was answered {response.status_code}: {response.text}")
            return None
        return response

    async def read(self, path: str, **params: Any) -> Any:
        """Return what is there.

        Raises:
            AssertionError: It is not.
        """
        response = await self.ask("GET", path, params=params)
        assert response.status_code == 200, f"GET {path}: {response.status_code} {response.text}"
        return response.json()

    async def read_all(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Return what stands on all pages."""
        items: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self.read(path, limit=200, **params, **cursor)
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = {"cursor": page["next_cursor"]}

    async def follow(self, execution_id: str) -> list[dict[str, Any]]:
        """Return the events of an execution as they come, whatever breaks the stream off."""
        events: list[dict[str, Any]] = []
        while not events or events[-1]["type"] not in LAST_EVENTS:
            try:
                await self._read_stream(execution_id, events)
            except httpx.TransportError:
                self.refusals += 1
            await asyncio.sleep(REST_SECONDS)
        return events

    async def _read_stream(self, execution_id: str, events: list[dict[str, Any]]) -> None:
        headers = {"Accept": "text/event-stream"}
        if events:
            headers["Last-Event-ID"] = str(events[-1]["seq"])
        url = f"{next(self._turns)}/api/executions/{execution_id}/events"
        async with self._http.stream("GET", url, headers=headers) as response:
            if response.status_code != 200:
                if response.status_code != 503:
                    self.scandals.append(f"The stream of {execution_id} was answered {response.status_code}")
                return
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    event = json.loads(line[5:])
                    # What a model writes is shown while it does, and is no event of the log.
                    if "seq" in event:
                        events.append(event)

"""Providers that ask money for their answers, and give them when they are told to: by tokens, and by the call."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tests.fault.harness.priced_blocks import PRICE
from tests.stubs import LanguageModelStub, WebStub

INPUT_RATE, OUTPUT_RATE = 375, 1_500
"""Credits per million tokens of gpt-4o, for which 3 credits are reserved."""


class Gate:
    """Lets calls through when it is told to, and keeps note of those that were answered."""

    def __init__(self) -> None:
        self.prices: dict[str, int] = {}
        """Of the calls that were answered, by idempotency key."""
        self.answers: Counter[str] = Counter()
        """How often each of them was answered: again when nobody heard of it."""
        self._waiting: list[asyncio.Future[bool]] = []
        self._is_open = False

    @property
    def held(self) -> int:
        """Return how many calls wait for their answers."""
        return len(self._waiting)

    def let_through(self, count: int) -> None:
        """Answer some of the calls that wait, those first that came first."""
        for waiting in self._waiting[:count]:
            waiting.set_result(True)
        del self._waiting[:count]

    def drop(self) -> None:
        """Answer nobody of those that wait: they are dead."""
        for waiting in self._waiting:
            waiting.set_result(False)
        self._waiting.clear()

    def open(self) -> None:
        """Answer all from now on."""
        self._is_open = True
        self.let_through(self.held)

    async def is_through(self, key: str, price: int) -> bool:
        """Wait until a call may be answered, and note what it costs; answer False if nobody is there to hear it."""
        if not self._is_open:
            waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            if not await waiting:
                return False
        self.prices[key] = price
        self.answers[key] += 1
        return True


class PricedModel(LanguageModelStub):
    """A language model. What an answer costs depends on the question alone: less than is reserved, or more."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate

    def usage_of(self, asked: dict[str, Any]) -> dict[str, int]:
        """Return some thousands of tokens, as many as the number in the question says."""
        tokens = 1_000 * (1 + 3 * int(re.findall(r"\d+", str(asked["messages"][-1]["content"]))[-1]) % 17)
        return {"prompt_tokens": tokens, "completion_tokens": tokens // 10, "total_tokens": 11 * tokens // 10}

    async def _complete(self, request: Request) -> Response:
        try:
            asked = await request.json()
        except ClientDisconnect:
            return Response(status_code=400)
        usage = self.usage_of(asked)
        microcredits = usage["prompt_tokens"] * INPUT_RATE + usage["completion_tokens"] * OUTPUT_RATE
        key = unquote(request.headers["idempotency-key"])
        if not await self._gate.is_through(key, -(-microcredits // 1_000_000)):
            return Response(status_code=503)
        return await super()._complete(request)


class PricedWeb(WebStub):
    """A web server that sells what is at `/held`."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.let_go.set()
        self._gate = gate

    async def _hold(self, request: Request) -> Response:
        try:
            await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        key = unquote(request.headers["idempotency-key"]).strip('"')
        if not await self._gate.is_through(key, PRICE):
            return Response(status_code=503)
        return await super()._hold(request)

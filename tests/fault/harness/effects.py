"""The world outside as the blocks of the fault suite see it: a web server that notes every effect that it has.

What it answers depends on the request alone, so a run without faults tells what every other run must give.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.stubs import _Stub

SECRET = "a secret of the fault suite that only its credentials hold"


@dataclass(frozen=True, slots=True)
class Effect:
    """One request that has arrived whole."""

    key: str
    """Its Idempotency-Key: `<execution>:<node>:<n>`."""
    at: float
    """When, in seconds since the epoch."""

    @property
    def execution_id(self) -> str:
        """Return the execution that has caused it."""
        return self.key.partition(":")[0]


class World(_Stub):
    """A server with one path, `/work`, which takes `{"number": …}` and gives another number.

    The query says how: `delay` seconds pass first; the first `flaky` requests of a key get a 503; `keep` gives the same
    number back; `items` adds a list of that length, `blob` a text of that many bytes; `status` is the status to answer;
    `secret` asks for the header `X-Secret`, without which it is 401.
    """

    def __init__(self) -> None:
        super().__init__([Route("/work", self._work, methods=["POST"])])
        self.effects: list[Effect] = []
        self.strangers: list[str] = []
        """The keys of requests that had to bring the secret and did not."""
        self.arrivals = 0
        """How many requests there were, those to others of the world included."""
        self._arrived = asyncio.Condition()
        self._seen: Counter[str] = Counter()

    async def until(self, count: int) -> None:
        """Wait until that many requests have arrived in all."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.arrivals >= count)

    async def arrive(self) -> None:
        """Note that a request has arrived."""
        async with self._arrived:
            self.arrivals += 1
            self._arrived.notify_all()

    async def _work(self, request: Request) -> Response:
        try:
            given = await request.json()
        except ClientDisconnect:
            return Response(status_code=400)
        key = request.headers.get("idempotency-key", "")
        self.effects.append(Effect(key, time.time()))
        self._seen[key] += 1
        seen = self._seen[key]
        await self.arrive()
        wanted = request.query_params
        if "secret" in wanted and request.headers.get("x-secret") != SECRET:
            self.strangers.append(key)
            return JSONResponse({"error": "who are you"}, 401)
        await asyncio.sleep(float(wanted.get("delay", 0)))
        if seen <= int(wanted.get("flaky", 0)):
            return JSONResponse({"error": "try again"}, 503)
        return JSONResponse(_answer(given, wanted), int(wanted.get("status", 200)))


def _answer(given: dict[str, Any], wanted: Any) -> dict[str, Any]:
    number = int(given["number"])
    answer: dict[str, Any] = {"number": number if "keep" in wanted else (number * 7 + 3) % 1_000}
    if "items" in wanted:
        answer["items"] = [number + k for k in range(int(wanted["items"]))]
    if "blob" in wanted:
        answer["blob"] = _text(number, int(wanted["blob"]))
    if "blob" in given:
        answer["sha256"] = hashlib.sha256(given["blob"].encode()).hexdigest()
    return answer


def _text(number: int, size: int) -> str:
    """Return a text that is hard to compress and the same for the same number."""
    pieces = (hashlib.sha512(f"{number}:{k}".encode()).hexdigest() for k in range(size // 128 + 1))
    return "".join(pieces)[:size]

"""The language model of the fault suite: what it answers depends on what it is asked alone. It notes every question."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from tests.stubs import LanguageModelStub

DELAYS_SECONDS = (0, 0, 0.05, 0.2, 0.4)
FLAKY = 6
"""One in so many questions is refused the first time."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question that has arrived whole."""

    key: str
    """`<execution>:<node>:<n>`, then `:<turn>` from the second turn on, or `:<step>`."""
    at: float
    """When, in seconds since the epoch."""
    asker: str
    """The worker process."""

    @property
    def execution_id(self) -> str:
        """Return the execution that has asked it."""
        return self.key.partition(":")[0]

    @property
    def place(self) -> str:
        """Return the node execution that has asked it, as `<execution>:<node>:<n>`."""
        return ":".join(self.key.split(":")[:3])


class Model(LanguageModelStub):
    """A server with one model. Asked with tools it calls some of them, turn by turn; else it says a word."""

    def __init__(self, arrive: Callable[[], Awaitable[None]]) -> None:
        """Take what is told that a question has arrived."""
        super().__init__()
        self.answer = _answer
        self._arrive = arrive
        self.questions: list[Question] = []
        self._seen: Counter[str] = Counter()

    async def _complete(self, request: Request) -> Response:
        try:
            asked = await request.json()
        except ClientDisconnect:
            return Response(status_code=400)
        key = unquote(request.headers.get("idempotency-key", ""))
        asker = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.questions.append(Question(key, time.time(), asker))
        self._seen[key] += 1
        await self._arrive()
        chance = _number_of(json.dumps(asked["messages"]))
        await asyncio.sleep(DELAYS_SECONDS[chance % len(DELAYS_SECONDS)])
        if self._seen[key] == 1 and chance % FLAKY == 0:
            return JSONResponse({"error": {"message": "Too much to do"}}, 503)
        return await super()._complete(request)


def _answer(asked: dict[str, Any]) -> str | dict[str, Any]:
    messages = asked["messages"]
    tools = [tool["function"] for tool in asked.get("tools", ())]
    if not tools:
        return f"word{_number_of(str(messages[-1]['content']))}"
    task = next(message["content"] for message in messages if message["role"] == "user")
    number = int(float(re.findall(r"[\d.]+", task)[0]))
    turn = sum(message["role"] == "assistant" for message in messages)
    if turn < 1 + number % 3:
        calls = [_call(tools, number, turn, at) for at in range(1 + (number + turn) % 2)]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    told = [str(message["content"]) for message in messages if message["role"] == "tool"]
    return str(_number_of(" ".join(sorted(told))))


def _call(tools: list[dict[str, Any]], number: int, turn: int, at: int) -> dict[str, Any]:
    tool = tools[(number + turn + at) % len(tools)]
    given = dict.fromkeys(tool["parameters"]["properties"], number + 10 * turn + at)
    function = {"name": tool["name"], "arguments": json.dumps(given)}
    return {"id": f"call_{turn}_{at}", "type": "function", "function": function}


def _number_of(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 1_000

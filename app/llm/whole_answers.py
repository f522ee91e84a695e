"""Servers that answer as a whole where a stream was asked for: some local ones and gateways do.

Their answer is turned into a stream of one piece, so that nobody pays for a second one.
"""

from __future__ import annotations

import json
from typing import Any

import httpx2


class StreamingTransport(httpx2.AsyncBaseTransport):
    """Speaks with a server whose answers are streams whenever they were asked to be."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        """Take what carries the requests."""
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return the response as soon as its head is there."""
        response = await self._inner.handle_async_request(request)
        kind = response.headers.get("content-type", "")
        if response.status_code != httpx2.codes.OK or "json" not in kind or not _asks_for_stream(request):
            return response
        content = await response.aread()
        await response.aclose()
        try:
            answer = json.loads(content)
            text = make_stream(answer) if "choices" in answer else make_message_stream(answer)
        except (ValueError, TypeError, LookupError, AttributeError):
            return response
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=text)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def make_stream(completion: dict[str, Any]) -> str:
    """Return a chat completion in the text of a stream.

    Raises:
        LookupError: It is no completion.
    """
    head = completion | {"object": "chat.completion.chunk"}
    choices = []
    for choice in completion["choices"]:
        message = choice["message"]
        calls = [{**call, "index": at} for at, call in enumerate(message.get("tool_calls") or ())]
        delta = {**message, "tool_calls": calls} if calls else message
        choices.append({"index": choice["index"], "delta": delta, "finish_reason": choice["finish_reason"]})
    chunks = [head | {"choices": choices, "usage": None}, head | {"choices": []}]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def make_message_stream(message: dict[str, Any]) -> str:
    """Return a message of Anthropic's in the text of a stream.

    Raises:
        LookupError: It is no message.
    """
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**message, "content": []}}]
    for at, block in enumerate(message["content"]):
        events.append({"type": "content_block_start", "index": at, "content_block": _emptied(block)})
        events.append({"type": "content_block_delta", "index": at, "delta": _delta_of(block)})
        events.append({"type": "content_block_stop", "index": at})
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": message.get("stop_sequence")}
    events.append({"type": "message_delta", "delta": delta, "usage": message["usage"]})
    events.append({"type": "message_stop"})
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


def _emptied(block: dict[str, Any]) -> dict[str, Any]:
    return {**block, "input": {}} if block["type"] == "tool_use" else {**block, "text": ""}


def _delta_of(block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] == "tool_use":
        return {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    return {"type": "text_delta", "text": block["text"]}


def _asks_for_stream(request: httpx2.Request) -> bool:
    return b'"stream"' in request.content and json.loads(request.content).get("stream") is True

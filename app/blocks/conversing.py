"""Conversations with a model that calls tools: what is pending in one, what is answered, what of a long one is sent.

Messages are those of OpenAI's chat API, whoever serves the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.blocks.tools import ToolResult

MAX_RESULT_CHARACTERS = 60_000
"""Of one result; what is beyond is cut off, and the model is told."""


def list_pending(messages: Sequence[Any]) -> list[str]:
    """Return the ids of the calls that no message answers yet, in their order."""
    pending: list[str] = []
    for message in messages:
        if message.get("role") == "tool" and message.get("tool_call_id") in pending:
            # Some providers use an id again, so an answer is for the oldest call of that id.
            pending.remove(message["tool_call_id"])
        pending += [call["id"] for call in message.get("tool_calls") or ()]
    return pending


def answer(call_id: str, value: Any) -> dict[str, Any]:
    """Return the message that answers a call."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) > MAX_RESULT_CHARACTERS:
        left_out = len(text) - MAX_RESULT_CHARACTERS
        text = f"{text[:MAX_RESULT_CHARACTERS]}\n[{left_out} more characters are left out]"
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def answer_with(result: ToolResult) -> dict[str, Any]:
    """Return the message that tells a model what came of a call."""
    values: dict[str, Any] = {}
    pins = [pin for pin, _ in result.outputs]
    for pin, value in result.outputs:
        if pins.count(pin) > 1:
            values.setdefault(pin, []).append(value)
        else:
            values[pin] = value
    if result.error is not None:
        return answer(result.call_id, {"error": result.error, **({"output": values} if values else {})})
    return answer(result.call_id, values or "Done. There is no output.")


def shorten(messages: Sequence[Any], room: int) -> list[Any]:
    """Return what is sent of a conversation: all of it, or its beginning and its end where that would be too long.

    No answer of a tool is sent without the message that called it. The newest exchange is sent whatever its length.

    Args:
        messages: The conversation.
        room: Characters of it that may be sent.
    """
    sizes = [len(json.dumps(message, ensure_ascii=False)) for message in messages]
    if sum(sizes) <= room:
        return list(messages)
    head = _length_of_head(messages)
    tail = len(messages)
    room -= sum(sizes[:head])
    while tail > head and room >= sizes[tail - 1]:
        tail -= 1
        room -= sizes[tail]
    while tail < len(messages) and messages[tail].get("role") == "tool":
        tail += 1
    if tail == len(messages):
        # The newest exchange alone is that long: without it there would be nothing to answer.
        tail = _begin_of_last_exchange(messages, head)
    note = {"role": "user", "content": f"[{tail - head} earlier messages are left out here]"}
    return [*messages[:head], *([note] if tail > head else ()), *messages[tail:]]


def _length_of_head(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return how many messages there are up to the first one of a user."""
    for position, message in enumerate(messages):
        if message.get("role") == "user":
            return position + 1
        if message.get("role") != "system":
            return position
    return len(messages)


def _begin_of_last_exchange(messages: Sequence[Mapping[str, Any]], head: int) -> int:
    for position in range(len(messages) - 1, head - 1, -1):
        if messages[position].get("role") != "tool":
            return position
    return head

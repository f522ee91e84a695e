"""What model servers say, as answers of the stub server."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.blocks.stub_server import Answer

CHAT = "/v1/chat/completions"
ANTHROPIC_MESSAGES = "/v1/messages"


def calls(*called: tuple[str, str, str], text: str | None = None) -> Answer:
    """Return the answer of a model that wants tools called: id, name and arguments of each."""
    asked = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id, name, arguments in called
    ]
    message = {"role": "assistant", "content": text, "tool_calls": asked}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return Answer.of_json(head | {"choices": [choice], "usage": usage})


def writes(*pieces: str, hangs: bool = False) -> Answer:
    """Return an answer that comes piece by piece, and perhaps never ends."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas: list[tuple[dict[str, Any], str | None]] = [({"content": piece}, None) for piece in pieces]
    choices = [
        [{"index": 0, "delta": delta, "finish_reason": reason}]
        for delta, reason in (deltas if hangs else [*deltas, ({}, "stop")])
    ]
    chunks = [json.dumps(head | {"choices": choice}) for choice in choices]
    if not hangs:
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        chunks += [json.dumps(head | {"choices": [], "usage": usage}), "[DONE]"]
    text = "".join(f"data: {chunk}\n\n" for chunk in chunks)
    return Answer(200, text.encode(), {"content-type": "text/event-stream"}, hangs=hangs)


def says(text: str | None, *, finish_reason: str = "stop") -> Answer:
    return Answer.of_json(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish_reason,
                    "message": {"role": "assistant", "content": text},
                }
            ],
            "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        }
    )


def says_as_anthropic(text: str) -> Answer:
    return Answer.of_json(
        {
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5",
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 5, "output_tokens": 3},
        }
    )


def fails(status: int, *, message: str = "no", code: str | None = None, **headers: str) -> Answer:
    error: dict[str, Any] = {"message": message, "type": "t", "code": code, "param": None}
    return Answer.of_json({"error": error}, status, **headers)

"""What model servers say, as answers of the stub server."""

from __future__ import annotations

from typing import Any

from tests.unit.blocks.stub_server import Answer

CHAT = "/v1/chat/completions"
ANTHROPIC_MESSAGES = "/v1/messages"


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

"""Conversations and tools as the client library has them, and its answers as ours. Slow to import, like the library."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.tools import ToolDefinition

from app.errors import BlockError
from app.llm.language_models import Completion, Message, Request, ToolCall

MOST_TOKENS = 10**9
"""No answer takes more: no model reads a hundredth of it."""
_NAMELESS = "tool"
"""For a result whose call is not in the conversation: providers want the call's id, not the name."""
_ANY_OBJECT = OutputObjectDefinition(json_schema={"type": "object"})


def make_conversation(messages: Sequence[Message]) -> list[ModelMessage]:
    """Return a conversation as the library has it: what is asked and what is answered, in turns."""
    conversation: list[ModelMessage] = []
    asked: list[ModelRequestPart] = []
    tools: dict[str, str] = {}
    for message in messages:
        if message["role"] == "assistant":
            tools |= {call["id"]: call["function"]["name"] for call in message.get("tool_calls", ())}
            if asked:
                conversation.append(ModelRequest(parts=asked))
            conversation.append(ModelResponse(parts=_said(message)))
            asked = []
        else:
            asked.append(_part(message, tools))
    if asked:
        conversation.append(ModelRequest(parts=asked))
    return conversation


def make_parameters(request: Request) -> ModelRequestParameters:
    """Return what a request offers and demands as the library has it."""
    tools = [
        ToolDefinition(name=tool.name, description=tool.description, parameters_json_schema=tool.parameters)
        for tool in request.tools
    ]
    if request.is_json_forced:
        return ModelRequestParameters(
            function_tools=tools,
            output_mode="prompted",
            output_object=_ANY_OBJECT,
            prompted_output_template=False,
        )
    return ModelRequestParameters(function_tools=tools)


def make_completion(response: ModelResponse, request: Request, *, model: str) -> Completion:
    """Return what a model answered.

    Raises:
        BlockError: It answered nothing, and would not the next time.
    """
    if response.finish_reason == "content_filter":
        raise BlockError("The provider held the answer back: its content filter")
    calls = [ToolCall(part.tool_call_id, part.tool_name, _text_of(part)) for part in response.tool_calls]
    if not response.text and not calls and response.finish_reason == "length":
        raise BlockError("The model used up `max_tokens` before it answered")
    return Completion(
        text=response.text or "",
        tool_calls=calls,
        model=model,
        input_tokens=_bounded(response.usage.input_tokens),
        output_tokens=_bounded(response.usage.output_tokens),
        messages=list(request.messages),
        annotations=_annotations(response),
    )


def _bounded(tokens: int) -> int:
    """Return what a provider says that was used, as far as it can be: what it says decides what is charged."""
    return max(0, min(int(tokens), MOST_TOKENS))


def _annotations(response: ModelResponse) -> list[dict[str, Any]]:
    found: list[Any] = []
    for part in response.parts:
        if isinstance(part, TextPart):
            found += (part.provider_details or {}).get("annotations") or []
    return [annotation for annotation in found if isinstance(annotation, dict)]


def _text_of(call: ToolCallPart) -> str:
    # Not as the library would tidy it: what is wrong in it has to be seen.
    return call.args if isinstance(call.args, str) else json.dumps(call.args or {})


def _said(message: Message) -> list[ModelResponsePart]:
    calls = [
        ToolCallPart(call["function"]["name"], call["function"]["arguments"], call["id"])
        for call in message.get("tool_calls", ())
    ]
    text = message["content"] or ""
    return [TextPart(text), *calls] if text or not calls else [*calls]


def _part(message: Message, tools: dict[str, str]) -> ModelRequestPart:
    content = message["content"] or ""
    if message["role"] == "system":
        return SystemPromptPart(content)
    if message["role"] == "tool":
        call = message.get("tool_call_id", "")
        return ToolReturnPart(tools.get(call, _NAMELESS), content, call)
    return UserPromptPart(content)

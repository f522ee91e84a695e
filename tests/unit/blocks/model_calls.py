"""Blocks that ask a model, called without an engine around them, and a model that says what it is told to."""

from __future__ import annotations

from typing import Any

from app.blocks.base import RemoteBlock
from app.llm.language_models import LanguageModels
from tests.unit.blocks.contexts import GivenCredentials, MemorySteps, make_context
from tests.unit.blocks.model_server import CHAT, says
from tests.unit.blocks.stub_server import Answer, Asked, StubServer


async def run(
    block: RemoteBlock,
    models: LanguageModels,
    *,
    steps: MemorySteps | None = None,
    credentials: GivenCredentials | None = None,
    **given: Any,
) -> list[tuple[str, Any]]:
    context = make_context(language_models=models, steps=steps, credentials=credentials)
    return [emitted async for emitted in block.run(block.Input(**given), context)]


def answers(server: StubServer, *texts: str) -> None:
    """Have the model say one text after the other, the last one for ever."""
    left = list(texts)

    def say(_: Asked) -> Answer:
        return says(left.pop(0) if len(left) > 1 else left[0])

    server.answers[CHAT] = say


def sent(server: StubServer, number: int = -1) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = server.asked[number].json()["messages"]
    return messages

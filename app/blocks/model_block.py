"""What the blocks that ask a language model have in common: their costs, whose key is used, how a question is put."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from app.blocks.base import BlockCategory, RemoteBlock
from app.blocks.credentials import ApiKey, CredentialsMissing
from app.errors import BlockInputInvalid
from app.graph.costs import Cost
from app.graph.credentials import CredentialsNeed
from app.graph.signature import Effect
from app.llm.language_models import Completion, Message, Tool
from app.llm.models import (
    DEFAULT_CREDITS,
    MODELS,
    SERVICES,
    find_credits,
    find_model,
    price_reading,
    provider_of,
)
from app.templating.templates import render

if TYPE_CHECKING:
    from app.blocks.context import BlockContext

CHARACTERS_PER_TOKEN = 3
"""A cautious guess: English has four."""
ANSWER_TOKENS = 4_096
"""What is left for an answer that nobody has set a limit for."""
MIN_KEPT_CHARACTERS = 1_000
_GAP = "\n[… cut …]\n"
_ROLES = frozenset({"system", "user", "assistant", "tool"})
_OTHER_ROLES = {"developer": "system", "human": "user", "ai": "assistant", "model": "assistant"}


def _service_of(model: Any) -> str | None:
    # Local models have no key, and may be stood in for by any provider.
    provider = provider_of(model)
    return provider if provider in SERVICES else None


MODEL_CREDENTIALS: Mapping[str, CredentialsNeed] = MappingProxyType(
    {
        "credentials": CredentialsNeed(
            providers=tuple(provider.value for provider in SERVICES),
            is_required=False,
            discriminator="model",
            provider_of=_service_of,
        )
    }
)
MODEL_COSTS: tuple[Cost, ...] = (
    *(Cost(credits=model.credits, type="tokens", filter={"model": model.name}) for model in MODELS),
    Cost(credits=DEFAULT_CREDITS, type="tokens"),
)


async def find_own_key(context: BlockContext) -> ApiKey | None:
    """Return the owner's own key, or None when the worker's is to be used.

    Raises:
        CredentialsMissing: What was chosen is gone, or is no key.
        BlockUnavailable: It cannot be read now.
    """
    found = await context.credentials.find("credentials")
    if found is not None and not isinstance(found, ApiKey):
        raise CredentialsMissing("A language model needs an API key")
    return found


class ModelBlock(RemoteBlock):
    """A block that asks a language model."""

    categories: ClassVar[tuple[BlockCategory, ...]] = (BlockCategory.AI,)
    pool = "llm"
    # Asking again costs, and the answer may be another, but nothing in the world changes.
    effect = Effect.PURE
    costs = MODEL_COSTS
    credentials = MODEL_CREDENTIALS
    # The server there is the platform's: it is not to see keys of others, and whoever asks it pays for it.
    own_keys_unused_with = "PERDURE_LLM_BASE_URL"

    def find_cost(self, given: Mapping[str, Any]) -> Cost | None:
        """Return what the tokens of the model cost that is asked, also under another of its names."""
        return Cost(credits=find_credits(given.get("model")), type="tokens")

    def cost_of(self, given: Mapping[str, Any]) -> int:
        """Return the flat credits of the model, or what it takes to read what it is given if that is more.

        So nobody has books read with the credits for a line.
        """
        flat = super().cost_of(given)
        return max(flat, price_reading(given.get("model"), characters=_length_of(given))) if flat else 0


def _length_of(given: Any) -> int:
    """Return how many characters all texts in a value have."""
    if isinstance(given, str):
        return len(given)
    if isinstance(given, Mapping):
        return sum(map(_length_of, given.values()))
    return sum(map(_length_of, given)) if isinstance(given, list | tuple) else 0


async def ask(  # noqa: PLR0913 - all that a model can be told, by name
    context: BlockContext,
    model: str,
    messages: Sequence[Message],
    *,
    part: str = "",
    max_tokens: int | None = None,
    temperature: float | None = None,
    force_json: bool = False,
    tools: Sequence[Tool] = (),
    is_shown: bool = False,
) -> Completion:
    """Ask a model.

    Args:
        context: Of the call.
        model: Its name.
        messages: The conversation.
        part: Which of several questions of one node execution it is; the provider sees another key for each.
        max_tokens: The most that it may answer.
        temperature: From 0 for the likeliest words to 2.
        force_json: Have the provider see to it that the answer is a JSON object.
        tools: What the model may call.
        is_shown: Whether the answer is shown to watchers while it is written.

    Raises:
        BlockUnavailable: The provider cannot answer now.
        BlockError: The provider refuses, or none is configured.
    """
    return await context.language_models.complete(
        model,
        messages,
        max_tokens=max_tokens,
        temperature=temperature,
        idempotency_key=f"{context.idempotency_key}:{part}" if part else context.idempotency_key,
        api_key=await find_own_key(context),
        force_json=force_json,
        tools=tools,
        stream=context.stream if is_shown else None,
    )


async def ask_in_step(
    context: BlockContext, name: str, model: str, messages: Sequence[Message], **how: Any
) -> str:
    """Return what a model answers, asking it only if no earlier attempt has its answer.

    Args:
        context: Of the call.
        name: Of the step, another one for every question of the node execution.
        model: Its name.
        messages: The conversation.
        how: As `ask` takes it.

    Raises:
        BlockUnavailable: The provider cannot answer now.
        BlockError: The provider refuses, or none is configured.
    """

    async def work() -> str:
        return (await ask(context, model, messages, part=name, **how)).text

    return str(await context.steps.do(name, work))


def make_messages(system: str, prompt: str) -> list[Message]:
    """Return the messages that put a question, an instruction before it if there is one."""
    asked: list[Message] = [{"role": "user", "content": prompt}]
    return [{"role": "system", "content": system}, *asked] if system else asked


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a prompt with its expressions filled in; without values it stays as it is.

    Raises:
        BlockError: An expression is wrong.
    """
    return render(text, values) if values else text


def fit(messages: Sequence[Message], model: str, *, answer_tokens: int | None) -> list[Message]:
    """Return a conversation that the model can read: where it is too long, the longest messages lose their middle.

    A model of which nothing is known is given all of it.
    """
    fitting = list(messages)
    known = find_model(model)
    if known is None or known.context_tokens is None:
        return fitting
    room = (known.context_tokens - (answer_tokens or ANSWER_TOKENS)) * CHARACTERS_PER_TOKEN
    lengths = [len(message["content"] or "") for message in fitting]
    while (excess := sum(lengths) - room) > 0:
        longest = max(range(len(lengths)), key=lengths.__getitem__)
        kept = max(lengths[longest] - excess - len(_GAP), MIN_KEPT_CHARACTERS)
        if kept + len(_GAP) >= lengths[longest]:
            break
        text = fitting[longest]["content"] or ""
        fitting[longest] = {
            **fitting[longest],
            "content": text[: kept - kept // 2] + _GAP + text[-(kept // 2) :],
        }
        lengths[longest] = kept + len(_GAP)
    return fitting


def read_messages(given: Iterable[Any]) -> list[Message]:
    """Return a conversation as models take it. A text alone was said by the user.

    Raises:
        BlockInputInvalid: One of the messages is neither a text nor an object with `content`.
    """
    return [_read_message(message) for message in given if message]


def as_plain(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Return messages as they are emitted."""
    return [dict(message) for message in messages]


def _read_message(given: Any) -> Message:
    if isinstance(given, str):
        return {"role": "user", "content": given}
    if not isinstance(given, dict) or not ({"content", "tool_calls"} & given.keys()):
        raise BlockInputInvalid("A message is a text, or an object with `role` and `content`")
    message: Message = {"role": _role_of(given.get("role")), "content": _text_of(given.get("content"))}
    if given.get("tool_calls"):
        message["tool_calls"] = given["tool_calls"]
    if given.get("tool_call_id"):
        message["tool_call_id"] = str(given["tool_call_id"])
    return message


def _role_of(given: Any) -> Literal["system", "user", "assistant", "tool"]:
    role = str(given).lower()
    role = _OTHER_ROLES.get(role, role)
    return role if role in _ROLES else "user"  # type: ignore[return-value]  # it is one of them


def _text_of(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list):
        # Pieces, as OpenAI has them: only what is text can be sent to every model.
        texts = [piece.get("text") if isinstance(piece, dict) else piece for piece in content]
        return "\n".join(text for text in texts if isinstance(text, str))
    return json.dumps(content, ensure_ascii=False)

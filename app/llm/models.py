"""Who serves which language model, what it costs, and how much it reads at once: what `rates.toml` says.

Names are those that agent files carry. A name that is not in the tables is known by how it begins, or not at all.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

DEFAULT_MODEL = "gpt-4o-mini"
DEFAULT_CREDITS = 1
MILLION = 1_000_000
MOST_CHARACTERS_PER_TOKEN = 6
"""Of a text in any language, about: what is guessed of what is read is rather too little."""
_RATES = Path(__file__).with_name("rates.toml")
_OF_A_DAY = re.compile(r"[-@:](\d{4}|latest|preview)[-\d]*")
"""What a provider adds to a model's name and it stays the same model. `-mini` or `-pro` is another one."""


class Provider(StrEnum):
    """Who serves a model."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GROQ = "groq"
    OPEN_ROUTER = "open_router"
    OLLAMA = "ollama"
    LLAMA_API = "llama_api"
    AIML_API = "aiml_api"
    V0 = "v0"
    COMPATIBLE = "compatible"
    """The server at the configured base URL, which speaks as OpenAI does."""


@dataclass(frozen=True, slots=True)
class Service:
    """How a provider is reached."""

    default_model: str
    """What is asked there in place of a model that nobody serves."""
    setting: str
    """The setting that holds the worker's key."""
    base_url: str | None = None
    """Where its OpenAI-compatible API is; None where the client library knows."""


SERVICES: Mapping[Provider, Service] = {
    Provider.OPENAI: Service("gpt-4o-mini", "OPENAI_API_KEY"),
    Provider.ANTHROPIC: Service("claude-haiku-4-5", "ANTHROPIC_API_KEY"),
    Provider.OPEN_ROUTER: Service(
        "openai/gpt-4o-mini", "OPEN_ROUTER_API_KEY", "https://openrouter.ai/api/v1"
    ),
    Provider.GROQ: Service("llama-3.3-70b-versatile", "GROQ_API_KEY", "https://api.groq.com/openai/v1"),
    Provider.AIML_API: Service(
        "meta-llama/Llama-3.3-70B-Instruct-Turbo", "AIML_API_KEY", "https://api.aimlapi.com/v1"
    ),
    Provider.LLAMA_API: Service("Llama-3.3-70B-Instruct", "LLAMA_API_KEY", "https://api.llama.com/compat/v1"),
    Provider.V0: Service("v0-1.5-md", "V0_API_KEY", "https://api.v0.dev/v1"),
}
"""In the order in which they stand in for each other. Local models are reached through the base URL alone."""


class Rates(NamedTuple):
    """What tokens cost, in credits per million, which is in millionths of a credit per token."""

    input: int
    output: int


UNKNOWN_RATES = Rates(2250, 11250)
"""Of models that are in no table: those of the dearest usual ones, so that no name is a way to pay less."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that agent files name."""

    name: str
    provider: Provider
    credits: int = DEFAULT_CREDITS
    """What is reserved before one call, whatever its length."""
    context_tokens: int | None = None
    """How much it reads at once, where that is known."""
    rates: Rates | None = None
    """What tokens cost; None where each answer costs the flat credits."""


def _read_models() -> tuple[Model, ...]:
    rates = tomllib.loads(_RATES.read_text("utf-8"))
    return tuple(
        Model(
            name,
            Provider(provider),
            rate["flat"],
            rate["context"],
            Rates(rate["input"], rate["output"]) if "input" in rate else None,
        )
        for provider, models in rates.items()
        for name, rate in models.items()
    )


MODELS: tuple[Model, ...] = _read_models()
_EXACT = {model.name: model for model in MODELS}
_PROVIDER_BY_PREFIX = {
    "gpt-": Provider.OPENAI,
    "chatgpt-": Provider.OPENAI,
    "ft:": Provider.OPENAI,
    "o1": Provider.OPENAI,
    "o3": Provider.OPENAI,
    "o4": Provider.OPENAI,
    "claude": Provider.ANTHROPIC,
    "v0-": Provider.V0,
}
_OTHER_NAMES = {"openrouter": Provider.OPEN_ROUTER}


def find_provider(model: str) -> tuple[Provider | None, str]:
    """Return who serves a model, and the model's name there."""
    name = model.strip()
    if name in _EXACT:
        return _EXACT[name].provider, name
    before, _, rest = name.partition("/")
    if rest and (named := _find_named(before)):
        return named, rest
    for prefix, provider in _PROVIDER_BY_PREFIX.items():
        if name.startswith(prefix):
            return provider, name
    return None, name


def provider_of(model: Any) -> str | None:
    """Return the name of who serves a model, or None when nobody is known to."""
    provider, _ = find_provider(model) if isinstance(model, str) else (None, "")
    return provider and provider.value


def find_model(model: Any) -> Model | None:
    """Return what is known of a model; a dated name is the model's without the date."""
    name = model.strip() if isinstance(model, str) else DEFAULT_MODEL
    for tried in (name, name.partition("/")[2], name.rpartition("/")[2]):
        if tried in _EXACT:
            return _EXACT[tried]
    short = name.rpartition("/")[2]
    return max(
        (
            known
            for known in MODELS
            if short.startswith(known.name) and _OF_A_DAY.fullmatch(short, len(known.name))
        ),
        key=lambda known: len(known.name),
        default=None,
    )


def find_credits(model: Any) -> int:
    """Return the flat credits of one call of a model."""
    known = find_model(model)
    return DEFAULT_CREDITS if known is None else known.credits


def price_reading(model: Any, *, characters: int) -> int:
    """Return the credits that a model costs at least that is given so much to read, on the platform's key.

    0 for one whose rates are not known, or are none.
    """
    known = find_model(model)
    if known is None or known.rates is None:
        return 0
    tokens = characters // MOST_CHARACTERS_PER_TOKEN
    read = tokens if known.context_tokens is None else min(tokens, known.context_tokens)
    return -(-read * known.rates.input // MILLION)


def price_answer(provider: Provider, model: str, *, input_tokens: int, output_tokens: int) -> int:
    """Return what an answer costs on the platform's key, in millionths of a credit.

    Args:
        provider: Who was asked.
        model: As it was asked for there.
        input_tokens: What it read, as its provider says.
        output_tokens: What it wrote.
    """
    known = find_model(model)
    rates = known.rates if known else UNKNOWN_RATES
    # A server of one's own may have any models, and nobody else to be paid for those that are in no table.
    is_flat = rates is None or (known is None and provider in (Provider.COMPATIBLE, Provider.OLLAMA))
    if rates is None or is_flat or not (input_tokens or output_tokens):
        return find_credits(model) * MILLION
    return max(0, input_tokens) * rates.input + max(0, output_tokens) * rates.output


def _find_named(text: str) -> Provider | None:
    lowered = text.lower().replace("-", "_")
    if lowered in _OTHER_NAMES:
        return _OTHER_NAMES[lowered]
    return Provider(lowered) if lowered in SERVICES or lowered == Provider.OLLAMA else None

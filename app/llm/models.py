"""Who serves which language model, what one call is estimated to cost, and how much a model reads at once.

Names are those that agent files carry. A name that is not in the tables is known by how it begins, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

DEFAULT_MODEL = "gpt-4o-mini"
DEFAULT_CREDITS = 1


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


@dataclass(frozen=True, slots=True)
class Model:
    """A model that agent files name."""

    name: str
    provider: Provider
    credits: int = DEFAULT_CREDITS
    """What one call is estimated to cost, whatever its length."""
    context_tokens: int | None = None
    """How much it reads at once, where that is known."""


_BY_PROVIDER: Mapping[Provider, tuple[tuple[str, int, int | None], ...]] = {
    Provider.OPENAI: (
        ("gpt-4o-mini", 1, 128_000),
        ("gpt-4.1-mini", 1, 1_047_576),
        ("gpt-5-mini", 1, 400_000),
        ("gpt-5-nano", 1, 400_000),
        ("gpt-3.5-turbo", 1, 16_385),
        ("o3-mini", 2, 200_000),
        ("gpt-4.1", 2, 1_047_576),
        ("gpt-5", 2, 400_000),
        ("gpt-4o", 3, 128_000),
        ("o3", 4, 200_000),
        ("o1-mini", 4, 128_000),
        ("gpt-5.1", 5, 400_000),
        ("gpt-5.2", 6, 400_000),
        ("gpt-4", 10, 8_192),
        ("gpt-4-turbo", 10, 128_000),
        ("o1", 16, 200_000),
    ),
    Provider.ANTHROPIC: (
        ("claude-3-haiku", 1, 200_000),
        ("claude-haiku-4-5", 4, 200_000),
        ("claude-3-7-sonnet", 5, 200_000),
        ("claude-sonnet-4", 5, 200_000),
        ("claude-sonnet-4-5", 9, 200_000),
        ("claude-sonnet-4-6", 9, 200_000),
        ("claude-opus-4-5", 14, 200_000),
        ("claude-opus-4-6", 14, 200_000),
        ("claude-opus-4-7", 14, 200_000),
        ("claude-opus-4", 21, 200_000),
        ("claude-opus-4-1", 21, 200_000),
    ),
    Provider.GROQ: (
        ("llama-3.3-70b-versatile", 1, 131_072),
        ("llama-3.1-70b-versatile", 1, 131_072),
        ("llama-3.1-8b-instant", 1, 131_072),
        ("llama3-70b-8192", 1, 8_192),
        ("llama3-8b-8192", 1, 8_192),
        ("mixtral-8x7b-32768", 1, 32_768),
        ("gemma2-9b-it", 1, 8_192),
        ("deepseek-r1-distill-llama-70b", 1, 131_072),
    ),
    Provider.OLLAMA: (
        ("llama3.3", 1, 131_072),
        ("llama3.2", 1, 131_072),
        ("llama3", 1, 8_192),
        ("llama3.1:405b", 1, 131_072),
        ("dolphin-mistral:latest", 1, 32_768),
    ),
    Provider.OPEN_ROUTER: (
        ("google/gemini-2.5-pro", 4, 1_048_576),
        ("google/gemini-2.5-pro-preview-03-25", 4, 1_048_576),
        ("google/gemini-3-pro-preview", 5, 1_048_576),
        ("google/gemini-2.5-flash", 1, 1_048_576),
        ("google/gemini-2.5-flash-lite-preview-06-17", 1, 1_048_576),
        ("google/gemini-2.0-flash-001", 1, 1_048_576),
        ("google/gemini-2.0-flash-lite-001", 1, 1_048_576),
        ("mistralai/mistral-nemo", 1, 131_072),
        ("cohere/command-r-08-2024", 1, 128_000),
        ("cohere/command-r-plus-08-2024", 3, 128_000),
        ("deepseek/deepseek-chat", 2, 64_000),
        ("deepseek/deepseek-r1-0528", 1, 163_840),
        ("perplexity/sonar", 1, 127_000),
        ("perplexity/sonar-pro", 5, 200_000),
        ("perplexity/sonar-deep-research", 10, 128_000),
        ("nousresearch/hermes-3-llama-3.1-405b", 1, 131_072),
        ("nousresearch/hermes-3-llama-3.1-70b", 1, 131_072),
        ("amazon/nova-lite-v1", 1, 300_000),
        ("amazon/nova-micro-v1", 1, 128_000),
        ("amazon/nova-pro-v1", 1, 300_000),
        ("microsoft/wizardlm-2-8x22b", 1, 65_536),
        ("gryphe/mythomax-l2-13b", 1, 4_096),
        ("meta-llama/llama-4-scout", 1, 131_072),
        ("meta-llama/llama-4-maverick", 1, 1_048_576),
        ("x-ai/grok-4", 9, 256_000),
        ("x-ai/grok-4-fast", 1, 2_000_000),
        ("x-ai/grok-code-fast-1", 1, 256_000),
        ("moonshotai/kimi-k2", 1, 131_000),
        ("qwen/qwen3-235b-a22b-thinking-2507", 1, 262_144),
        ("qwen/qwen3-coder", 9, 262_144),
    ),
    Provider.LLAMA_API: (
        ("Llama-4-Scout-17B-16E-Instruct-FP8", 1, 128_000),
        ("Llama-4-Maverick-17B-128E-Instruct-FP8", 1, 128_000),
        ("Llama-3.3-8B-Instruct", 1, 128_000),
        ("Llama-3.3-70B-Instruct", 1, 128_000),
    ),
    Provider.AIML_API: (
        ("Qwen/Qwen2.5-72B-Instruct-Turbo", 1, 32_000),
        ("nvidia/llama-3.1-nemotron-70b-instruct", 1, 128_000),
        ("meta-llama/Llama-3.3-70B-Instruct-Turbo", 1, 128_000),
        ("meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo", 1, 131_000),
        ("meta-llama/Llama-3.2-3B-Instruct-Turbo", 1, 128_000),
    ),
    Provider.V0: (
        ("v0-1.5-md", 1, 128_000),
        ("v0-1.5-lg", 2, 512_000),
        ("v0-1.0-md", 1, 128_000),
    ),
}
MODELS: tuple[Model, ...] = tuple(
    Model(name, provider, amount, context)
    for provider, rows in _BY_PROVIDER.items()
    for name, amount, context in rows
)
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
        (known for known in MODELS if short.startswith(known.name)),
        key=lambda known: len(known.name),
        default=None,
    )


def find_credits(model: Any) -> int:
    """Return the flat credits of one call of a model."""
    known = find_model(model)
    return DEFAULT_CREDITS if known is None else known.credits


def _find_named(text: str) -> Provider | None:
    lowered = text.lower().replace("-", "_")
    if lowered in _OTHER_NAMES:
        return _OTHER_NAMES[lowered]
    return Provider(lowered) if lowered in SERVICES or lowered == Provider.OLLAMA else None

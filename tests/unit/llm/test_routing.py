from __future__ import annotations

import pytest

from app.errors import BlockError
from app.llm.models import (
    MODELS,
    SERVICES,
    Provider,
    find_credits,
    find_model,
    find_provider,
    price_answer,
    provider_of,
)
from app.llm.routing import Routes


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("gpt-4", (Provider.OPENAI, "gpt-4")),
        ("chatgpt-4o-latest", (Provider.OPENAI, "chatgpt-4o-latest")),
        ("o3-mini", (Provider.OPENAI, "o3-mini")),
        ("ft:gpt-4o:me", (Provider.OPENAI, "ft:gpt-4o:me")),
        ("openai/of-tomorrow", (Provider.OPENAI, "of-tomorrow")),
        ("openrouter/openai/gpt-4", (Provider.OPEN_ROUTER, "openai/gpt-4")),
        ("claude-opus-4-5", (Provider.ANTHROPIC, "claude-opus-4-5")),
        ("anthropic/of-tomorrow", (Provider.ANTHROPIC, "of-tomorrow")),
        ("perplexity/sonar-pro", (Provider.OPEN_ROUTER, "perplexity/sonar-pro")),
        ("llama-3.1-70b-versatile", (Provider.GROQ, "llama-3.1-70b-versatile")),
        ("llama3", (Provider.OLLAMA, "llama3")),
        ("v0-1.5-md", (Provider.V0, "v0-1.5-md")),
        ("meta/llama9", (None, "meta/llama9")),
        ("", (None, "")),
    ],
)
def test_a_name_tells_its_provider(model: str, found: tuple[Provider | None, str]) -> None:
    assert find_provider(model) == found
    assert provider_of(model) == found[0]


def test_no_model_stands_twice_in_the_tables() -> None:
    names = [model.name for model in MODELS]
    assert len(names) == len(set(names))


def test_every_default_model_is_served_by_its_provider() -> None:
    for provider, service in SERVICES.items():
        found, _ = find_provider(f"{provider}/{service.default_model}")
        assert found is provider


@pytest.mark.parametrize(
    ("configured", "model", "asked"),
    [
        ({Provider.OPENAI}, "gpt-5-2025-08-07", (Provider.OPENAI, "gpt-5-2025-08-07")),
        ({Provider.OPENAI}, "claude-sonnet-4-5-20250929", (Provider.OPENAI, "gpt-4o-mini")),
        ({Provider.ANTHROPIC}, "gpt-4o", (Provider.ANTHROPIC, "claude-haiku-4-5")),
        ({Provider.ANTHROPIC}, "of-tomorrow", (Provider.ANTHROPIC, "claude-haiku-4-5")),
        ({Provider.OPENAI}, "openrouter/openai/gpt-4o", (Provider.OPENAI, "gpt-4o")),
        ({Provider.OPEN_ROUTER}, "openai/gpt-4o", (Provider.OPEN_ROUTER, "openai/gpt-4o")),
        ({Provider.OPEN_ROUTER}, "vendor/of-tomorrow", (Provider.OPEN_ROUTER, "vendor/of-tomorrow")),
        ({Provider.GROQ, Provider.OPENAI}, "llama3-8b-8192", (Provider.GROQ, "llama3-8b-8192")),
    ],
)
def test_a_model_that_nobody_serves_is_stood_in_for(
    configured: set[Provider], model: str, asked: tuple[Provider, str]
) -> None:
    assert Routes(configured).find(model) == asked


def test_nothing_stands_in_for_a_model_that_searches_the_web() -> None:
    routes = Routes({Provider.OPENAI}, default_model="gpt-4o")
    with pytest.raises(BlockError, match="searches the web"):
        routes.find("perplexity/sonar")
    mapped = Routes({Provider.OPENAI}, model_map={"perplexity/*": "gpt-4o"})
    assert mapped.find("perplexity/sonar") == (Provider.OPENAI, "gpt-4o")


def test_the_default_model_stands_in_when_its_provider_is_configured() -> None:
    routes = Routes({Provider.OPENAI}, default_model="gpt-4.1")
    assert routes.find("claude-opus-4") == (Provider.OPENAI, "gpt-4.1")
    elsewhere = Routes({Provider.OPENAI}, default_model="claude-opus-4")
    assert elsewhere.find("claude-opus-4") == (Provider.OPENAI, "gpt-4o-mini")


def test_the_first_pattern_that_fits_names_the_model() -> None:
    routes = Routes({Provider.OPENAI}, model_map={"Claude-opus*": "gpt-5", "claude*": "gpt-4.1"})
    assert routes.find("claude-opus-4-1-20250805") == (Provider.OPENAI, "gpt-5")
    assert routes.find("claude-haiku-4-5") == (Provider.OPENAI, "gpt-4.1")
    assert routes.find("gpt-4o") == (Provider.OPENAI, "gpt-4o")


def test_a_base_url_is_asked_for_every_name_as_it_is_unless_it_is_mapped() -> None:
    routes = Routes(set(), has_base_url=True, model_map={"gpt-*": "llama3.3"})
    assert routes.find("anthropic/claude-opus-4") == (Provider.COMPATIBLE, "anthropic/claude-opus-4")
    assert routes.find("gpt-4o") == (Provider.COMPATIBLE, "llama3.3")


@pytest.mark.parametrize(
    ("own", "model", "asked"),
    [
        ("openai", "gpt-4o", (Provider.OPENAI, "gpt-4o")),
        ("openai", "of-tomorrow", (Provider.OPENAI, "of-tomorrow")),
        ("open_router", "openai/gpt-4o", (Provider.OPEN_ROUTER, "openai/gpt-4o")),
        ("open_router", "perplexity/sonar", (Provider.OPEN_ROUTER, "perplexity/sonar")),
        ("groq", "llama-3.3-70b-versatile", (Provider.GROQ, "llama-3.3-70b-versatile")),
    ],
)
def test_an_own_key_is_used_at_its_provider_whatever_the_worker_has(
    own: str, model: str, asked: tuple[Provider, str]
) -> None:
    assert Routes({Provider.ANTHROPIC}).find(model, own=own) == asked


@pytest.mark.parametrize(("own", "model"), [("openai", "claude-opus-4"), ("github", "gpt-4o")])
def test_an_own_key_never_goes_to_another_provider(own: str, model: str) -> None:
    with pytest.raises(BlockError, match=own):
        Routes({Provider.ANTHROPIC, Provider.OPENAI}).find(model, own=own)


@pytest.mark.parametrize(
    ("model", "known", "amount"),
    [
        ("gpt-5-2025-08-07", "gpt-5", 2),
        ("openai/gpt-4o-mini-2024-07-18", "gpt-4o-mini", 1),
        ("anthropic/claude-sonnet-4-20250514", "claude-sonnet-4", 5),
        ("perplexity/sonar-pro", "perplexity/sonar-pro", 5),
        ("of-tomorrow", None, 1),
        ("gpt-5-pro", None, 1),
        ("o1-pro-2025-03-19", None, 1),
        ("claude-opus-4-9", None, 1),
    ],
)
def test_a_dated_name_is_the_models_without_its_date(model: str, known: str | None, amount: int) -> None:
    found = find_model(model)
    assert (found.name if found else None) == known
    assert find_credits(model) == amount


@pytest.mark.parametrize(
    ("provider", "model", "tokens", "price"),
    [
        (Provider.OPENAI, "gpt-4o", (1_000, 10), 1_000 * 375 + 10 * 1_500),
        (Provider.OPENAI, "gpt-4o-2024-08-06", (1, 0), 375),
        (Provider.OPEN_ROUTER, "openai/gpt-4o", (0, 1), 1_500),
        (Provider.COMPATIBLE, "gpt-4o", (1, 1), 375 + 1_500),
        (Provider.OPENAI, "gpt-4o", (0, 0), 3_000_000),
        (Provider.OLLAMA, "llama3", (10**6, 10**6), 1_000_000),
        (Provider.OPEN_ROUTER, "perplexity/sonar-pro", (10, 10), 5_000_000),
        (Provider.COMPATIBLE, "of-tomorrow", (10**6, 0), 1_000_000),
        (Provider.OPENAI, "o1-pro", (10**6, 0), 2_250_000_000),
    ],
)
def test_an_answer_costs_its_tokens_at_the_rates_of_its_model(
    provider: Provider, model: str, tokens: tuple[int, int], price: int
) -> None:
    """A provider that does not say what was used is taken at the flat estimate, and so are local models."""
    read, wrote = tokens
    assert price_answer(provider, model, input_tokens=read, output_tokens=wrote) == price


def test_every_model_has_a_price() -> None:
    for model in MODELS:
        assert model.credits > 0
        assert model.rates is None or min(model.rates) > 0

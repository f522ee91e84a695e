"""Language models on the wire."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from app.errors import BlockError
from app.llm.models import MODELS, Model, Provider
from app.llm.routing import Routes


class ModelView(BaseModel):
    """A model that a block may name."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    credits: int
    """What is reserved before one call; nothing with a key of your own."""
    input_credits: int | None
    """What a million tokens cost that it reads; null where each answer costs what is reserved."""
    output_credits: int | None
    """What a million tokens cost that it writes."""
    context_tokens: int | None
    """How much it reads at once; null where that is not known."""
    asked: str | None
    """The model that is asked for it on this server, which may be another; null when none can be."""

    @classmethod
    def of(cls, model: Model, routes: Routes) -> ModelView:
        """Return a model as it goes out."""
        try:
            _, asked = routes.find(model.name)
        except BlockError:
            asked = None
        return cls(
            name=model.name,
            credits=model.credits,
            input_credits=model.rates and model.rates.input,
            output_credits=model.rates and model.rates.output,
            context_tokens=model.context_tokens,
            asked=asked,
        )


class ProviderView(BaseModel):
    """Who serves models."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    is_configured: bool
    """Whether this server has a key for it, or asks one server for all models. If not, bring credentials."""
    models: list[ModelView]


class ModelsView(BaseModel):
    """The language models that are known by name. Others may be named too."""

    providers: list[ProviderView]

    @classmethod
    def of(cls, routes: Routes) -> ModelsView:
        """Return all models as they go out."""
        by_provider: dict[Provider, list[ModelView]] = {}
        for model in MODELS:
            by_provider.setdefault(model.provider, []).append(ModelView.of(model, routes))
        return cls(
            providers=[
                ProviderView(name=provider, is_configured=routes.serves(provider), models=models)
                for provider, models in by_provider.items()
            ]
        )

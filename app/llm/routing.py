"""Which provider is asked for a model, given what is configured here. Nothing is asked in this file."""

from __future__ import annotations

from collections.abc import Mapping, Set
from fnmatch import fnmatchcase

from app.errors import BlockError, BlockInputInvalid
from app.llm.models import SERVICES, Provider, find_provider

MAX_MODEL_NAME = 200
SEARCHING = "perplexity/"
"""How the names of models begin that answer from what they find on the web. A stand-in would make it up."""


class Routes:
    """Finds who serves a model, and stands another in for one that nobody serves."""

    def __init__(
        self,
        configured: Set[Provider],
        *,
        has_base_url: bool = False,
        default_model: str | None = None,
        model_map: Mapping[str, str] | None = None,
    ) -> None:
        """Take what is configured.

        Args:
            configured: Providers that the worker has a key for.
            has_base_url: Whether there is a server that is asked for every model.
            default_model: Asked in place of a model that nobody serves; the first provider's own unless said.
            model_map: Names by pattern, with `*` for any letters; the first pattern that fits counts.
        """
        self._configured = [provider for provider in SERVICES if provider in configured]
        self._has_base_url = has_base_url
        self._default_model = default_model
        self._model_map = {pattern.lower(): name for pattern, name in (model_map or {}).items()}

    def find(self, model: str, *, own: str | None = None) -> tuple[Provider, str]:
        """Return whom to ask for a model, and under which name.

        Args:
            model: As the graph names it.
            own: The provider of somebody's own key, which is used for the call if keys of others are.

        Raises:
            BlockInputInvalid: The name cannot be one.
            BlockError: Nobody serves it, or somebody else than the key is for.
        """
        if not 0 < len(model) <= MAX_MODEL_NAME:
            raise BlockInputInvalid("The name of the model is empty or too long")
        model = self._mapped(model)
        if not self.uses_own_keys:
            return Provider.COMPATIBLE, model
        if own is not None:
            return _with_own_key(model, own)
        for name in (model, model.partition("/")[2]):
            provider, short = find_provider(name)
            if provider in self._configured:
                return provider, short
        if "/" in model and Provider.OPEN_ROUTER in self._configured:
            return Provider.OPEN_ROUTER, model
        return self._stand_in(model)

    @property
    def uses_own_keys(self) -> bool:
        """Whether somebody's own key is used at all. The server that is asked for every model is to see none."""
        return not self._has_base_url

    def serves(self, provider: Provider) -> bool:
        """Answer whether a provider's models can be asked without a key of somebody's own."""
        return self._has_base_url or provider in self._configured

    def _mapped(self, model: str) -> str:
        lowered = model.lower()
        for pattern, name in self._model_map.items():
            if fnmatchcase(lowered, pattern):
                return name
        return model

    def _stand_in(self, model: str) -> tuple[Provider, str]:
        if model.lower().startswith(SEARCHING):
            raise BlockError(
                f"The model {model!r} searches the web, and no other does that in its place; "
                f"it needs {SERVICES[Provider.OPEN_ROUTER].setting}, or a line of PERDURE_MODEL_MAP"
            )
        if self._default_model:
            provider, name = find_provider(self._default_model)
            if provider in self._configured:
                return provider, name
        if self._configured:
            return self._configured[0], SERVICES[self._configured[0]].default_model
        provider, name = find_provider(model)
        if provider is not None and provider in SERVICES:
            raise BlockError(
                f"The model {name!r} needs {SERVICES[provider].setting}, which the worker was not given"
            )
        raise BlockError(
            f"No provider is known for the model {name!r}; set PERDURE_LLM_BASE_URL to a server that has it"
        )


def _with_own_key(model: str, own: str) -> tuple[Provider, str]:
    if own not in SERVICES:
        raise BlockError(f"Credentials for {own!r} are of no use for a language model")
    provider, name = find_provider(model)
    if own == Provider.OPEN_ROUTER:
        # It serves what others serve too, under their names before a slash.
        return Provider.OPEN_ROUTER, name if provider is Provider.OPEN_ROUTER else model
    if provider in (None, Provider.OLLAMA):
        return Provider(own), name
    if provider != own:
        raise BlockError(f"The model {name!r} is served by {provider}, and the credentials are for {own}")
    return provider, name

"""Settings that say which language models there are, and with which keys they are asked."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr

from app.llm.models import Provider


class LanguageModelSettings(BaseModel):
    """Models and their providers."""

    model_config = ConfigDict(populate_by_name=True)

    llm_base_url: str | None = None
    """Any OpenAI-compatible server; when set, every model name is sent there."""

    default_model: str | None = None
    """Model that is asked in place of one that no configured provider serves."""

    model_map: dict[str, str] = Field(default_factory=dict)
    """Models to be asked in place of others, as JSON: `{"claude-*": "gpt-4.1"}`. The first pattern that fits counts."""

    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    """Key for OpenAI and for `llm_base_url`."""

    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_API_KEY")
    """Key for Anthropic."""

    open_router_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("OPEN_ROUTER_API_KEY", "OPENROUTER_API_KEY")
    )
    """Key for OpenRouter."""

    groq_api_key: SecretStr | None = Field(default=None, validation_alias="GROQ_API_KEY")
    """Key for Groq."""

    aiml_api_key: SecretStr | None = Field(default=None, validation_alias="AIML_API_KEY")
    """Key for AI/ML API."""

    llama_api_key: SecretStr | None = Field(default=None, validation_alias="LLAMA_API_KEY")
    """Key for Llama API."""

    v0_api_key: SecretStr | None = Field(default=None, validation_alias="V0_API_KEY")
    """Key for v0."""

    @property
    def llm_api_keys(self) -> dict[Provider, str]:
        """The keys for language models, by provider."""
        keys = {
            Provider.OPENAI: self.openai_api_key,
            Provider.ANTHROPIC: self.anthropic_api_key,
            Provider.OPEN_ROUTER: self.open_router_api_key,
            Provider.GROQ: self.groq_api_key,
            Provider.AIML_API: self.aiml_api_key,
            Provider.LLAMA_API: self.llama_api_key,
            Provider.V0: self.v0_api_key,
        }
        return {provider: key.get_secret_value() for provider, key in keys.items() if key}

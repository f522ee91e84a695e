"""The settings of one process: what the environment and `.env` say, checked once at the start.

Only the roots (server, worker, command line, embedded stack) read them; everybody else is given plain values.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.encryption.keys import EncryptionKey, parse_encryption_keys
from app.errors import Category, PerdureError, Severity
from app.llm.models import Provider
from app.outbound.oauth_providers import OAuthProvider, parse_oauth_providers
from app.outbound.services import WIKIPEDIA_URL

PREFIX = "PERDURE_"
POSTGRES = "postgres"
EMBEDDED_WINDOW = 100
SERVER_WINDOW = 40


class SettingsRefused(PerdureError):
    """The settings do not allow a start."""

    code = "SETTINGS_REFUSED"
    severity = Severity.CRITICAL
    category = Category.SYSTEM


def _default_window(given: dict[str, Any]) -> int:
    # Our own dev server runs with history.maximumBufferedEventsBatch raised, a foreign one holds 100 events.
    is_embedded = given.get("database_url") is None and given.get("temporal_address") is None
    return EMBEDDED_WINDOW if is_embedded else SERVER_WINDOW


Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """Everything that can be set from outside; each field is `PERDURE_<NAME>` in the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    home: Path = Path(".perdure")
    """Folder of the embedded stack: data, secrets, logs, run.json."""

    host: str = "127.0.0.1"
    """Address that the API listens on."""

    port: Port = 8000
    """Port of the API; 0 means any free one."""

    database_url: str | None = Field(default=None, repr=False)
    """Postgres, e.g. postgresql://user:password@host/name. Unset together with `temporal_address`: embedded stack."""

    temporal_address: str | None = None
    """host:port of the Temporal front end."""

    temporal_namespace: str = "default"
    """Temporal namespace of all workflows and schedules."""

    temporal_port: Port = 7233
    """Port of the embedded Temporal server; 0 means any free one."""

    temporal_ui_port: Port = 8233
    """Port of the embedded Temporal Web UI; 0 means any free one."""

    temporal_ui_url: str | None = None
    """Where people reach the Temporal Web UI, for links; the embedded stack knows its own."""

    temporal_tls: bool = False
    """Connect to Temporal over TLS. Implied by any other TEMPORAL_TLS_* setting and by an API key."""

    temporal_tls_ca: Path | None = None
    """PEM file of the authority that signed Temporal's certificate."""

    temporal_tls_cert: Path | None = None
    """PEM file of our client certificate."""

    temporal_tls_key: Path | None = None
    """PEM file of the key of our client certificate."""

    temporal_tls_domain: str | None = None
    """Server name to expect in Temporal's certificate when it differs from the address."""

    temporal_api_key: SecretStr | None = None
    """API key for Temporal Cloud."""

    task_queue: str = "perdure"
    """Task queue of workflows and engine activities; a pool's queue is this name, a dash and the pool."""

    workers: int = Field(default=1, ge=0, le=64)
    """Worker processes of the embedded stack."""

    jwt_secret: SecretStr | None = None
    """Secret of HS256 tokens."""

    jwt_jwks_url: str | None = None
    """Key set of RS256 and ES256 tokens, instead of `jwt_secret`."""

    jwt_issuer: str | None = None
    """Issuer that a token must name."""

    jwt_audience: str | None = None
    """Audience that a token must name."""

    encryption_key: SecretStr | None = None
    """Keys for what Temporal stores, each 32 bytes in URL-safe base64: the first encrypts, all decrypt."""

    oauth_providers: SecretStr | None = None
    """JSON of the services that users log in at with OAuth2, by name: `authorize_url`, `token_url`, `client_id`, …"""

    initial_credits: int = Field(default=1000, ge=0)
    """Credits granted to a user on first sight."""

    redis_url: SecretStr | None = None
    """Redis for rate limits shared by several API processes."""

    rate_limit: str = "600/minute"
    """Requests allowed per caller."""

    llm_base_url: str | None = None
    """Any OpenAI-compatible server; when set, every model name is sent there."""

    default_model: str | None = None
    """Model that is asked in place of one that no configured provider serves."""

    model_map: dict[str, str] = Field(default_factory=dict)
    """Models to be asked in place of others, as JSON: `{"claude-*": "gpt-4.1"}`. The first pattern that fits counts."""

    value_store: str = POSTGRES
    """Where new large values are kept: `postgres`, or s3://bucket/prefix with the usual AWS_* variables."""

    max_file_mb: int = Field(default=100, ge=1, le=1_000)
    """The largest file, in MB."""

    file_quota_mb: int = Field(default=5_000, ge=1)
    """All files of a user together, in MB."""

    execution_file_days: float = Field(default=30.0, gt=0, le=3650)
    """How long files that an execution has made are kept after its end."""

    allowed_private_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    """Private or loopback hosts that blocks may reach nevertheless, separated by commas."""

    search_url: str | None = None
    """Search engine of SearchTheWebBlock, e.g. http://searxng:8080."""

    search_api_key: SecretStr | None = None
    """Key for `search_url`, which then is an engine that answers as Brave's does."""

    wikipedia_url: str = WIKIPEDIA_URL
    """Where GetWikipediaSummaryBlock reads."""

    chromium: str | None = None
    """Path of the Chromium that takes screenshots; unset, one is looked for on the PATH."""

    disabled_blocks: Annotated[frozenset[str], NoDecode] = frozenset()
    """Blocks that are turned off, by UUID, slug or class name, separated by commas."""

    block_packages: Annotated[tuple[str, ...], NoDecode] = ()
    """Installed distributions whose blocks are there too, separated by commas. Their code runs in the workers."""

    code_sandbox: Literal["bubblewrap"] | None = None
    """What the walls are made of between which the code blocks execute code. Unset: those blocks are off."""

    metrics_open: bool = False
    """Answer `/metrics` without a token."""

    log_format: Literal["console", "json"] = "console"
    """Log lines for people or for machines."""

    window: int = Field(default_factory=_default_window, ge=1, le=1000)
    """Remote activities in flight per workflow run: 40, or 100 with the embedded stack."""

    events_per_run: int = Field(default=3_000, ge=50, le=10_000)
    """History events after which the workflow of an execution continues as new."""

    shard_size: int = Field(default=250, ge=0, le=500)
    """Remote node executions that a shard of a very large fan-out is given; 0 for no shards."""

    heartbeat_seconds: float = Field(default=30.0, ge=1, le=3600)
    """Silence after which a running block is given up for lost; longer than the outage to be tolerated."""

    drain_seconds: float = Field(default=10.0, ge=0, le=86_400)
    """How long a worker that is asked to stop lets running blocks go on."""

    build_id: str | None = Field(default=None, max_length=200)
    """The build that a worker is; executions stay on the build that they began on. Unset: any worker takes any."""

    stop_deadline_seconds: float = Field(default=4.0, gt=0)
    """How long a stop waits for running blocks before the execution is ended without them."""

    execution_timeout_seconds: float = Field(default=30 * 86_400.0, ge=1, le=3650 * 86_400.0)
    """The longest that an execution may take, pauses and waits included; also the time of one that asks for none."""

    max_node_executions: int = Field(default=1_000_000, ge=1, le=1_000_000)
    """The most node executions that an execution may ask for; one that asks for none has 100,000 at most."""

    reconcile_seconds: float = Field(default=60.0, ge=1, le=86_400)
    """How often executions that are open in the record are compared with Temporal."""

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

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @field_validator("database_url")
    @classmethod
    def _with_async_driver(cls, url: str | None) -> str | None:
        scheme, separator, rest = (url or "").partition("://")
        if url is None:
            return None
        if not separator or scheme not in {"postgres", "postgresql", "postgresql+asyncpg"}:
            raise ValueError("must be a postgresql:// URL")
        return f"postgresql+asyncpg://{rest}"

    @field_validator("allowed_private_hosts", "disabled_blocks", "block_packages", mode="before")
    @classmethod
    def _split_at_commas(cls, given: Any) -> Any:
        return list(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else given

    @field_validator("encryption_key")
    @classmethod
    def _of_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if keys is not None:
            parse_encryption_keys(keys.get_secret_value())
        return keys

    @field_validator("oauth_providers")
    @classmethod
    def _of_providers(cls, providers: SecretStr | None) -> SecretStr | None:
        if providers is not None:
            parse_oauth_providers(providers.get_secret_value())
        return providers

    @field_validator("value_store")
    @classmethod
    def _known_store(cls, store: str) -> str:
        if store != POSTGRES and not re.fullmatch(r"s3://[^/\s]+(/\S*)?", store):
            raise ValueError("must be `postgres` or s3://bucket/prefix")
        return store

    @model_validator(mode="after")
    def _both_or_neither(self) -> Settings:
        if (self.database_url is None) != (self.temporal_address is None):
            missing = "DATABASE_URL" if self.database_url is None else "TEMPORAL_ADDRESS"
            raise ValueError(
                f"{PREFIX}{missing} is missing: set both PERDURE_DATABASE_URL and PERDURE_TEMPORAL_ADDRESS, "
                "or neither for the embedded stack"
            )
        return self

    @property
    def is_embedded(self) -> bool:
        """Whether this process is to use the embedded Postgres and Temporal."""
        return self.database_url is None and self.temporal_address is None

    @property
    def made(self) -> frozenset[str]:
        """The names, as the environment has them, of the settings that say something."""
        return frozenset(PREFIX + name.upper() for name in type(self).model_fields if getattr(self, name))

    def require_api_secrets(self) -> None:
        """Check that the API has what it needs to recognise callers and to read what is encrypted.

        Raises:
            SettingsRefused: A secret is missing; the message names it.
        """
        if self.jwt_secret is None and self.jwt_jwks_url is None:
            raise SettingsRefused(f"{PREFIX}JWT_SECRET (or {PREFIX}JWT_JWKS_URL) is missing")
        self.require_worker_secrets()

    @property
    def encryption_keys(self) -> tuple[EncryptionKey, ...]:
        """The encryption keys, newest first; none when none is set."""
        return parse_encryption_keys(self.encryption_key.get_secret_value()) if self.encryption_key else ()

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

    @property
    def oauth(self) -> dict[str, OAuthProvider]:
        """The services that users log in at, by name."""
        return parse_oauth_providers(self.oauth_providers.get_secret_value()) if self.oauth_providers else {}

    def require_worker_secrets(self) -> None:
        """Check that what is encrypted can be read.

        Raises:
            SettingsRefused: The encryption key is missing.
        """
        if self.encryption_key is None:
            raise SettingsRefused(f"{PREFIX}ENCRYPTION_KEY is missing")


def read_settings(**overrides: Any) -> Settings:
    """Read the settings of this process from the environment and `.env`.

    Args:
        overrides: Values that win over the environment, by field name.

    Raises:
        SettingsRefused: A setting is not of its form, or the settings contradict each other.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        # Defaults that depend on a refused setting are reported too; they say nothing of their own.
        problems = [p for p in error.errors() if p["type"] != "default_factory_not_called"]
        raise SettingsRefused("; ".join(map(_sentence, problems))) from None


def _sentence(problem: Any) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    field = str(problem["loc"][0])
    name = field if field.isupper() else PREFIX + field.upper()
    return f"{name}: {message}"


def reveal(secret: SecretStr | None) -> str | None:
    """Return the text of an optional secret."""
    return None if secret is None else secret.get_secret_value()

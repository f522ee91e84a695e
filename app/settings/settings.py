"""The settings of one process: what the environment and `.env` say, checked once at the start.

Only the roots (server, worker, command line, embedded stack) read them; everybody else is given plain values.
"""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import Category, PerdureError, Severity
from app.settings.access import AccessSettings
from app.settings.blocks import BlockSettings
from app.settings.connections import ConnectionSettings
from app.settings.edge import EdgeSettings
from app.settings.executions import ExecutionSettings
from app.settings.language_models import LanguageModelSettings
from app.settings.notifications import NotificationSettings
from app.settings.payments import PaymentSettings
from app.settings.watching import WatchingSettings

PREFIX = "PERDURE_"


class SettingsRefused(PerdureError):
    """The settings do not allow a start."""

    code = "SETTINGS_REFUSED"
    severity = Severity.CRITICAL
    category = Category.SYSTEM


# The last of these is read first, and defaults of the others may depend on it.
class Settings(
    NotificationSettings,
    WatchingSettings,
    PaymentSettings,
    LanguageModelSettings,
    ExecutionSettings,
    BlockSettings,
    AccessSettings,
    EdgeSettings,
    ConnectionSettings,
    BaseSettings,
):
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

    @model_validator(mode="after")
    def _both_or_neither(self) -> Settings:
        if (self.database_url is None) != (self.temporal_address is None):
            missing = "DATABASE_URL" if self.database_url is None else "TEMPORAL_ADDRESS"
            raise ValueError(
                f"{PREFIX}{missing} is missing: set both PERDURE_DATABASE_URL and PERDURE_TEMPORAL_ADDRESS, "
                "or neither for the embedded stack"
            )
        return self

    @model_validator(mode="after")
    def _sells_with_everything(self) -> Settings:
        if self.stripe_api_key is not None:
            for name, value in (
                ("STRIPE_WEBHOOK_SECRET", self.stripe_webhook_secret),
                (f"{PREFIX}PUBLIC_URL", self.public_url),
            ):
                if value is None:
                    raise ValueError(f"{name} is missing: it is needed with STRIPE_API_KEY")
        return self

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

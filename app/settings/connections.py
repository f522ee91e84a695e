"""Settings that say where a process listens, and where it finds Postgres, Temporal and what it keeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

POSTGRES = "postgres"

Port = Annotated[int, Field(ge=0, le=65535)]


class ConnectionSettings(BaseModel):
    """Where everything is."""

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

    value_store: str = POSTGRES
    """Where new large values are kept: `postgres`, or s3://bucket/prefix with the usual AWS_* variables."""

    log_format: Literal["console", "json"] = "console"
    """Log lines for people or for machines."""

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

    @field_validator("value_store")
    @classmethod
    def _known_store(cls, store: str) -> str:
        if store != POSTGRES and not re.fullmatch(r"s3://[^/\s]+(/\S*)?", store):
            raise ValueError("must be `postgres` or s3://bucket/prefix")
        return store

    @property
    def is_embedded(self) -> bool:
        """Whether this process is to use the embedded Postgres and Temporal."""
        return self.database_url is None and self.temporal_address is None

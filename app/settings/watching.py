"""Settings that say how the deployment is watched: metrics and traces."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, field_validator

from app.settings.connections import Port


class WatchingSettings(BaseModel):
    """Metrics and traces."""

    metrics_open: bool = False
    """Answer `/metrics` without a token."""

    metrics_token: SecretStr | None = Field(default=None, min_length=16)
    """Token with which `/metrics` is answered; without one it is for administrators."""

    worker_metrics_port: Port | None = None
    """Port on which each worker shows its metrics, at `host`; 0 means any free one. Unset: none."""

    otlp_endpoint: str | None = None
    """Collector that traces are sent to (OTLP over HTTP), e.g. http://localhost:4318. Unset: there are none."""

    @field_validator("otlp_endpoint")
    @classmethod
    def _of_http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("https://", "http://")):
            raise ValueError("must be an http or https URL")
        return url and url.rstrip("/")

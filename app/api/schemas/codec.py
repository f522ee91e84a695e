"""Payloads of Temporal on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class PayloadsView(BaseModel):
    """`temporal.api.common.v1.Payloads` in the JSON of protocol buffers: bytes in base64."""

    payloads: list[dict[str, Any]]

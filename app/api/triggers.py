"""What executions are started by, or with, beside calls: put together."""

from __future__ import annotations

from dataclasses import dataclass

from app.api.services.presets import Presets


@dataclass(frozen=True, kw_only=True)
class Triggers:
    """What starts executions, or is started with."""

    presets: Presets

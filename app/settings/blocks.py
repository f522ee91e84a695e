"""Settings that say which blocks there are, and what they may reach, use and keep."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from app.outbound.services import WIKIPEDIA_URL


class BlockSettings(BaseModel):
    """Blocks, what they reach, and the files they keep."""

    disabled_blocks: Annotated[frozenset[str], NoDecode] = frozenset()
    """Blocks that are turned off, by UUID, slug or class name, separated by commas."""

    block_packages: Annotated[tuple[str, ...], NoDecode] = ()
    """Installed distributions whose blocks are there too, separated by commas. Their code runs in the workers."""

    code_sandbox: Literal["bubblewrap"] | None = None
    """What the walls are made of between which the code blocks execute code. Unset: those blocks are off."""

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

    max_file_mb: int = Field(default=100, ge=1, le=1_000)
    """The largest file, in MB."""

    file_quota_mb: int = Field(default=5_000, ge=1)
    """All files of a user together, in MB."""

    execution_file_days: float = Field(default=30.0, gt=0, le=3650)
    """How long files that an execution has made are kept after its end."""

    @field_validator("allowed_private_hosts", "disabled_blocks", "block_packages", mode="before")
    @classmethod
    def _split_at_commas(cls, given: Any) -> Any:
        return list(filter(None, map(str.strip, given.split(",")))) if isinstance(given, str) else given

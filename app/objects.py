"""Where bodies of large values may be kept outside of Postgres: three calls, and what they fail with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.errors import EngineUnavailable, PerdureError


class ObjectsAway(EngineUnavailable):
    """The object store cannot be reached, or refuses us; it may be different later."""


class ObjectMissing(PerdureError):
    """The object store has no object of that name."""


class ObjectStore(Protocol):
    """Keeps bytes under names. A name is used once: what it names never changes."""

    async def put(self, name: str, body: bytes) -> None:
        """Keep a body.

        Raises:
            ObjectsAway: It may or may not have been kept.
        """

    async def get(self, name: str) -> bytes:
        """Return a body.

        Raises:
            ObjectMissing: There is none of that name.
            ObjectsAway: It cannot be read now.
        """
        ...

    async def delete(self, names: Sequence[str]) -> None:
        """Delete bodies. One that is not there is as good as deleted.

        Raises:
            ObjectsAway: Some may be left.
        """

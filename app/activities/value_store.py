"""Where activities keep large values: bodies in Postgres or in an object store, rows in Postgres.

A body is brought to its place before the record that refers to it is written. What never gets a record is collected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from app.errors import BlockError
from app.models.changes import ValueRecord
from app.models.value_bodies import ValueLost, make_object_name, pack, put_objects, read_texts
from app.models.value_uses import announce_objects, find_bodies, touch_values
from app.objects import ObjectStore


class ValueMissing(BlockError):
    """A stored value is no longer there."""

    code = "VALUE_MISSING"

    def __init__(self, message: str | None = None, *, hashes: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.hashes = frozenset(hashes)
        """What is not even listed, so that no record may refer to it."""


class ValueStore:
    """Keeps values as JSON text, by owner and hash."""

    def __init__(self, pool: asyncpg.Pool[Any], objects: ObjectStore | None = None) -> None:
        """Take where values are kept.

        Args:
            pool: The database.
            objects: Where new bodies are kept; None for the database.
        """
        self._pool = pool
        self._objects = objects

    async def stow(self, owner: str, texts: Mapping[str, bytes]) -> list[ValueRecord]:
        """Bring values to where they are kept, and return what is to be written of them with the record.

        It may be repeated, and it has to be when the record meets a ValueCollected.

        Args:
            owner: Whose they are.
            texts: JSON texts by hash.

        Raises:
            ObjectsAway: The object store cannot be reached.
        """
        if not texts:
            return []
        known = await touch_values(self._pool, owner, list(texts))
        records = [ValueRecord(sha256, len(texts[sha256])) for sha256 in texts if sha256 in known]
        packed = {sha256: await pack(text) for sha256, text in texts.items() if sha256 not in known}
        if self._objects is None:
            return records + [
                ValueRecord(sha256, len(texts[sha256]), body=body) for sha256, body in packed.items()
            ]
        names = {sha256: make_object_name(sha256) for sha256 in packed}
        if names:
            await announce_objects(self._pool, list(names.values()))
            await put_objects({names[sha256]: body for sha256, body in packed.items()}, self._objects)
        return records + [
            ValueRecord(sha256, len(texts[sha256]), object=name) for sha256, name in names.items()
        ]

    async def load(self, owner: str, hashes: Sequence[str]) -> dict[str, bytes]:
        """Return the JSON texts of an owner's values.

        Raises:
            ValueMissing: One of them is not stored.
            ObjectsAway: The object store cannot be reached.
        """
        bodies = await find_bodies(self._pool, owner, hashes)
        if missing := set(hashes) - bodies.keys():
            raise ValueMissing(hashes=missing)
        try:
            return await read_texts(bodies, self._objects)
        except ValueLost as error:
            raise ValueMissing(error.message) from error

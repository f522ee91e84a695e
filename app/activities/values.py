"""Turns values into envelopes and back: small ones travel inline, large ones are stored once and referred to."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import asyncpg

from app.errors import BlockError
from app.graph.envelope import INLINE_LIMIT_BYTES, Envelope, is_reference, make_inline, make_reference
from app.models.recording import ValueRecord, load_values

TOTAL_INLINE_LIMIT_BYTES = 32 * 1024
"""What one node execution emits inline in all; the rest goes by reference."""
MAX_VALUE_BYTES = 64 * 1024 * 1024
_SMALL_TEXT = INLINE_LIMIT_BYTES // 6
"""A text of that many characters fits inline even if every one of them is escaped."""


class ValueTooLarge(BlockError):
    """A value is larger than the engine stores."""

    code = "VALUE_TOO_LARGE"


class ValueMissing(BlockError):
    """A stored value is no longer there."""

    code = "VALUE_MISSING"


class ValueCache:
    """Values that this worker has seen lately, as JSON text, bounded by bytes."""

    def __init__(self, pool: asyncpg.Pool[Any], *, capacity_bytes: int = 64 * 1024 * 1024) -> None:
        """Make an empty cache over the database."""
        self._pool = pool
        self._capacity = capacity_bytes
        self._size = 0
        self._texts: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def put(self, owner: str, sha256: str, text: bytes) -> None:
        """Keep a value."""
        key = (owner, sha256)
        if key in self._texts or len(text) > self._capacity:
            return
        self._texts[key] = text
        self._size += len(text)
        while self._size > self._capacity:
            _, dropped = self._texts.popitem(last=False)
            self._size -= len(dropped)

    async def fetch(self, owner: str, hashes: Iterable[str]) -> dict[str, bytes]:
        """Return the JSON texts of an owner's values.

        Raises:
            ValueMissing: One of them is not stored.
        """
        wanted = set(hashes)
        found = {sha256: self._texts[owner, sha256] for sha256 in wanted if (owner, sha256) in self._texts}
        missing = sorted(wanted - found.keys())
        if missing:
            bodies = await load_values(self._pool, owner, missing)
            for sha256 in missing:
                if sha256 not in bodies:
                    raise ValueMissing
                found[sha256] = zlib.decompress(bodies[sha256])
                self.put(owner, sha256, found[sha256])
        return found


class Shelf:
    """The values that one activity handles for one owner. What it stores is written with the rest of its record."""

    def __init__(self, owner: str, cache: ValueCache) -> None:
        self._owner = owner
        self._cache = cache
        self._made: dict[str, bytes] = {}
        self.unwritten: list[ValueRecord] = []
        """Values to be written in the next transaction."""

    def wrap(self, value: Any, *, inline_left: int = INLINE_LIMIT_BYTES) -> tuple[Envelope, int]:
        """Return an envelope for a JSON value, and the bytes that it carries inline.

        Raises:
            ValueTooLarge: It is beyond what is stored.
        """
        if value is None or isinstance(value, bool | int | float):
            return make_inline(value), 8
        if isinstance(value, str) and len(value) <= _SMALL_TEXT and inline_left >= INLINE_LIMIT_BYTES:
            return make_inline(value), len(value)
        text = json.dumps(value, separators=(",", ":")).encode("ascii")
        if len(text) <= min(INLINE_LIMIT_BYTES, inline_left):
            return make_inline(value), len(text)
        if len(text) > MAX_VALUE_BYTES:
            raise ValueTooLarge(f"A value of {len(text)} bytes is over the {MAX_VALUE_BYTES} that are stored")
        return self._store(text), 0

    def store(self, value: Any) -> Envelope:
        """Return a reference to a JSON value, however small it is."""
        return self._store(json.dumps(value, separators=(",", ":")).encode("ascii"))

    def _store(self, text: bytes) -> Envelope:
        sha256 = hashlib.sha256(text).hexdigest()
        if sha256 not in self._made:
            self._made[sha256] = text
            self.unwritten.append(ValueRecord(sha256, len(text), zlib.compress(text, 1)))
            self._cache.put(self._owner, sha256, text)
        return make_reference(sha256, len(text))

    async def open(self, envelopes: Mapping[str, Envelope]) -> dict[str, Any]:
        """Return the values by the same keys.

        Raises:
            ValueMissing: One of them is not stored.
        """
        if not any(len(envelope) == 2 for envelope in envelopes.values()):
            return {key: envelope[0] for key, envelope in envelopes.items()}
        wanted = {envelope[0] for envelope in envelopes.values() if is_reference(envelope)}
        texts = {sha256: self._made[sha256] for sha256 in wanted if sha256 in self._made}
        texts |= await self._cache.fetch(self._owner, wanted - texts.keys())
        return {
            key: json.loads(texts[envelope[0]]) if is_reference(envelope) else envelope[0]
            for key, envelope in envelopes.items()
        }

    def take_unwritten(self) -> list[ValueRecord]:
        """Return what is to be written, once."""
        unwritten, self.unwritten = self.unwritten, []
        return unwritten

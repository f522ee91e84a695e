"""Turns values into envelopes and back: small ones travel inline, large ones are stored once and referred to."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from app.activities.value_store import ValueStore
from app.errors import BlockError
from app.graph.envelope import INLINE_LIMIT_BYTES, Envelope, is_reference, make_inline, make_reference
from app.models.changes import ValueRecord

TOTAL_INLINE_LIMIT_BYTES = 32 * 1024
"""What one node execution emits inline in all; the rest goes by reference."""
MAX_VALUE_BYTES = 64 * 1024 * 1024
LOADS_AT_ONCE = 4
"""How many activities of a process load values at once: what is on its way counts in no cache."""
_SMALL_TEXT = INLINE_LIMIT_BYTES // 6
"""A text of that many characters fits inline even if every one of them is escaped."""


class ValueTooLarge(BlockError):
    """A value is larger than the engine stores."""

    code = "VALUE_TOO_LARGE"


class ValueCache:
    """Values that this worker has seen lately, as JSON text, bounded by bytes."""

    def __init__(self, store: ValueStore, *, capacity_bytes: int = 64 * 1024 * 1024) -> None:
        """Make an empty cache over where values are kept."""
        self.store = store
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE)
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
            ObjectsAway: The object store cannot be reached.
        """
        wanted = set(hashes)
        found = self._find(owner, wanted)
        if len(found) == len(wanted):
            return found
        async with self._loads:
            # Whoever was before us in the queue may have loaded the same.
            found |= self._find(owner, wanted - found.keys())
            loaded = await self.store.load(owner, sorted(wanted - found.keys()))
            for sha256, text in loaded.items():
                self.put(owner, sha256, text)
        return found | loaded

    def _find(self, owner: str, hashes: Iterable[str]) -> dict[str, bytes]:
        found = {}
        for sha256 in hashes:
            text = self._texts.get((owner, sha256))
            if text is not None:
                self._texts.move_to_end((owner, sha256))
                found[sha256] = text
        return found


class Shelf:
    """The values that one activity handles for one owner. What it makes is written with the rest of its record.

    A value that it was given is stored already, and is not stored again when it is passed on.
    """

    def __init__(self, owner: str, cache: ValueCache) -> None:
        self.owner = owner
        """Whose values these are."""
        self._cache = cache
        self._known: set[str] = set()
        self._unwritten: dict[str, bytes] = {}
        self.unwritten_bytes = 0
        """How much waits to be written."""

    def wrap(self, value: Any, *, inline_left: int = INLINE_LIMIT_BYTES) -> tuple[Envelope, int]:
        """Return an envelope for a JSON value, and the bytes that it carries inline.

        Raises:
            ValueTooLarge: It is beyond what is stored.
        """
        if value is None or isinstance(value, bool | float):
            return make_inline(value), 8
        if isinstance(value, int) and value.bit_length() <= 64:
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
        if sha256 not in self._known and sha256 not in self._unwritten:
            self._unwritten[sha256] = text
            self.unwritten_bytes += len(text)
            self._cache.put(self.owner, sha256, text)
        return make_reference(sha256, len(text))

    async def open(self, envelopes: Mapping[str, Envelope]) -> dict[str, Any]:
        """Return the values by the same keys.

        Raises:
            ValueMissing: One of them is not stored.
            ObjectsAway: The object store cannot be reached.
        """
        if not any(len(envelope) == 2 for envelope in envelopes.values()):
            return {key: envelope[0] for key, envelope in envelopes.items()}
        wanted = {envelope[0] for envelope in envelopes.values() if is_reference(envelope)}
        texts = {sha256: self._unwritten[sha256] for sha256 in wanted & self._unwritten.keys()}
        fetched = await self._cache.fetch(self.owner, wanted - texts.keys())
        self._known |= fetched.keys()
        texts |= fetched
        return {
            key: json.loads(texts[envelope[0]]) if is_reference(envelope) else envelope[0]
            for key, envelope in envelopes.items()
        }

    async def stow(self) -> list[ValueRecord]:
        """Bring what has been made to where values are kept; return what the next transaction is to write of it.

        Raises:
            ObjectsAway: The object store cannot be reached.
        """
        # A copy: the block may go on emitting meanwhile.
        return await self._cache.store.stow(self.owner, dict(self._unwritten))

    def note_written(self, values: Iterable[ValueRecord]) -> None:
        """Take note that a transaction has written these values."""
        for value in values:
            self._known.add(value.sha256)
            text = self._unwritten.pop(value.sha256, None)
            if text is not None:
                self.unwritten_bytes -= len(text)

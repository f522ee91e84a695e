"""The body of a stored value: JSON text, compressed, in its row or in an object. Knows how to make and read one."""

from __future__ import annotations

import asyncio
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import PerdureError
from app.objects import ObjectMissing, ObjectStore

_INLINE_BYTES = 256 * 1024
"""A longer text is compressed in a thread, so that nothing else waits for it."""
_AT_ONCE = 8
"""Objects that one call reads or writes at once."""


class ValueLost(PerdureError):
    """A stored value is missing."""


@dataclass(frozen=True, slots=True)
class Body:
    """Where the compressed text is: one of the two."""

    data: bytes | None = None
    object: str | None = None
    """Name of an object."""


async def pack(text: bytes) -> bytes:
    """Return a text compressed."""
    if len(text) <= _INLINE_BYTES:
        return zlib.compress(text, 1)
    return await asyncio.to_thread(zlib.compress, text, 1)


async def unpack(data: bytes) -> bytes:
    """Return a text as it was."""
    if len(data) <= _INLINE_BYTES // 8:
        return zlib.decompress(data)
    return await asyncio.to_thread(zlib.decompress, data)


def make_object_name(sha256: str) -> str:
    """Return a name that no object has had: the deletion of an older one never hits what is stored again."""
    return f"{sha256[:2]}/{sha256}-{secrets.token_hex(8)}"


async def read_texts(bodies: Mapping[str, Body], objects: ObjectStore | None) -> dict[str, bytes]:
    """Return the texts of bodies by the same keys.

    Raises:
        ValueLost: The object of one is missing, or is in an object store that this process has not been given.
        ObjectsAway: The object store cannot be read now.
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def read(body: Body) -> bytes:
        if body.data is not None:
            return await unpack(body.data)
        async with slots:
            return await unpack(await _get(body.object or "", objects))

    texts = await asyncio.gather(*map(read, bodies.values()))
    return dict(zip(bodies, texts, strict=True))


async def put_objects(bodies: Mapping[str, bytes], objects: ObjectStore) -> None:
    """Keep bodies by the names of their objects.

    Raises:
        ObjectsAway: Some may not be there.
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def put(name: str, body: bytes) -> None:
        async with slots:
            await objects.put(name, body)

    await asyncio.gather(*(put(name, body) for name, body in bodies.items()))


async def _get(name: str, objects: ObjectStore | None) -> bytes:
    if objects is None:
        raise ValueLost("A value is in an object store, and PERDURE_VALUE_STORE does not name it")
    try:
        return await objects.get(name)
    except ObjectMissing as error:
        raise ValueLost from error

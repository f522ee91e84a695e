"""The files that a block reads and stores: data URIs, the web, and what its owner keeps."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.blocks.context import File
from app.errors import (
    BlockError,
    BlockInputInvalid,
    BlockLimitExceeded,
    BlockUnavailable,
    EngineUnavailable,
    NotFound,
)
from app.files.data_uris import DataUriBroken, is_data_uri, most_bytes_of, parse_data_uri
from app.files.names import clean_name
from app.files.references import SCHEME, make_reference, parse_reference
from app.files.store import FileStore, FileTooLarge, NewFile, QuotaExceeded
from app.files.types import HEAD_BYTES, TAIL_BYTES, sniff_type
from app.models.value_bodies import ValueLost
from app.outbound.http import OutboundHttp
from app.patience import patiently

FETCH_TIMEOUT_SECONDS = 120.0
TRIAL_LIFETIME = timedelta(days=1)
"""How long a file is kept that a block has made on its own, outside an execution."""

T = TypeVar("T")


class CallFiles:
    """The files of one call of a block."""

    def __init__(
        self, store: FileStore, http: OutboundHttp, *, owner: str, execution_id: str, idempotency_key: str
    ) -> None:
        """Take where files are, and whose call it is."""
        self._store = store
        self._http = http
        self._owner = owner
        self._execution_id = uuid.UUID(execution_id) if execution_id else None
        self._key = idempotency_key

    async def read(self, reference: str, *, limit_bytes: int | None = None) -> File:
        """Return a file."""
        limit = min(limit_bytes or self._store.limits.file_bytes, self._store.limits.file_bytes)
        if is_data_uri(reference):
            return await _decode(reference, limit)
        if reference.strip().startswith(SCHEME):
            return await _patiently(lambda: self._load(reference, limit))
        if reference.strip().lower().startswith(("http://", "https://")):
            return await self._fetch(reference.strip(), limit)
        raise BlockInputInvalid("A file is a data URI, an http(s) URL, or workspace:// and the id of a file")

    async def store(
        self, content: bytes, *, name: str = "", content_type: str = "", is_kept: bool = False
    ) -> str:
        """Keep a file and return its reference. What one call stores twice in the same way is kept once."""
        parts = (self._key, name, content_type, str(is_kept), hashlib.sha256(content).hexdigest())
        new = NewFile(
            name=name,
            content_type=content_type,
            execution_id=None if is_kept else self._execution_id,
            lifetime=TRIAL_LIFETIME if self._execution_id is None and not is_kept else None,
            key=hashlib.sha256("\n".join(parts).encode(errors="surrogatepass")).hexdigest(),
        )
        try:
            stored = await _patiently(lambda: self._store.store(self._owner, io.BytesIO(content), new))
        except (FileTooLarge, QuotaExceeded) as error:
            raise BlockLimitExceeded(error.message) from error
        return make_reference(stored.id)

    async def _load(self, reference: str, limit: int) -> File:
        file_id = parse_reference(reference)
        if file_id is None:
            raise BlockInputInvalid("There is no such file")
        try:
            stored = await self._store.require(self._owner, file_id)
            _require_within(stored.size, limit)
            content = b"".join([piece async for piece in self._store.stream(stored)])
        except (NotFound, ValueLost) as error:
            raise BlockInputInvalid("There is no such file") from error
        return File(content, stored.name, stored.content_type)

    async def _fetch(self, url: str, limit: int) -> File:
        response = await self._http.request(
            "GET", url, limit_bytes=limit, timeout_seconds=FETCH_TIMEOUT_SECONDS
        )
        if response.status_code >= 500 or response.status_code == 429:
            raise BlockUnavailable(
                f"The file's host answered {response.status_code}",
                retry_after_seconds=response.retry_after_seconds,
            )
        if not response.is_success:
            raise BlockError(f"The file's host answered {response.status_code}")
        name = PurePosixPath(unquote(urlsplit(response.url).path)).name
        return _make_file(response.body, name=name, declared=response.content_type)


async def _decode(reference: str, limit: int) -> File:
    # Percent-encoding spends up to three letters on a byte: only what is surely too large is refused unread.
    _require_within(most_bytes_of(reference) // 3, limit)
    try:
        given = await asyncio.to_thread(parse_data_uri, reference)
    except DataUriBroken as error:
        raise BlockInputInvalid(str(error)) from error
    _require_within(len(given.content), limit)
    return _make_file(given.content, declared=given.media_type)


def _make_file(content: bytes, *, declared: str, name: str = "") -> File:
    tail = content[-TAIL_BYTES:] if len(content) > HEAD_BYTES else b""
    content_type = sniff_type(content[:HEAD_BYTES], tail, declared=declared, name=name)
    return File(content, clean_name(name, content_type=content_type), content_type)


def _require_within(size_bytes: int, limit: int) -> None:
    if size_bytes > limit:
        raise BlockLimitExceeded(f"The file is larger than {limit / 1024 / 1024:g} MB")


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    async def named() -> T:
        with _named_outages():
            return await attempt()

    return await patiently(named, service="files", away=(EngineUnavailable,))


@contextlib.contextmanager
def _named_outages() -> Iterator[None]:
    try:
        yield
    except (OSError, PoolTimeoutError) as error:
        raise EngineUnavailable from error
    except DBAPIError as error:
        sqlstate = str(getattr(error.orig, "sqlstate", ""))
        if error.connection_invalidated or sqlstate.startswith(("08", "53", "57")):
            raise EngineUnavailable from error
        raise

"""The files of users as the API and the activities keep them: within limits, in pieces, in Postgres or in objects."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO

from sqlalchemy.ext.asyncio import AsyncSession

from app.database import Sessions
from app.errors import Category, PayloadTooLarge, PerdureError, Severity
from app.files.names import clean_name
from app.files.types import HEAD_BYTES, TAIL_BYTES, sniff_type
from app.models import files
from app.models.tables.files import StoredFile
from app.models.value_bodies import Body, ValueLost, make_object_name
from app.objects import ObjectMissing, ObjectStore

PART_BYTES = 4 * 1024 * 1024
"""A file is kept in pieces of this size, so that a large one never is in memory as a whole."""
MAX_FILES = 100_000
"""Of one owner: small files take more than their bytes."""
_MEGABYTE = 1024 * 1024


class FileTooLarge(PayloadTooLarge):
    """The file is larger than files may be."""


class QuotaExceeded(PerdureError):
    """There is no room for this file: delete others first."""

    code = "QUOTA_EXCEEDED"
    severity = Severity.LOW
    category = Category.RESOURCE


@dataclass(frozen=True, slots=True)
class FileLimits:
    """How much may be kept."""

    file_bytes: int = 100 * _MEGABYTE
    """The largest file."""
    quota_bytes: int = 5_000 * _MEGABYTE
    """All files of one owner together."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """What is to be known of a file besides its content."""

    name: str = ""
    """What people call it; cleaned, and made from the type when nothing is left."""
    content_type: str = ""
    """What it is taken for when its content does not show it."""
    execution_id: uuid.UUID | None = None
    """The execution that it goes with."""
    lifetime: timedelta | None = None
    key: str | None = None
    """Storing again under the same key gives the first file."""


async def _nothing_more(session: AsyncSession, file_id: uuid.UUID | None = None) -> None:
    """Write nothing besides."""


class FileStore:
    """Keeps files."""

    def __init__(
        self, sessions: Sessions, objects: ObjectStore | None = None, *, limits: FileLimits | None = None
    ) -> None:
        """Take where files are kept.

        Args:
            sessions: Where they are listed, and their content too without an object store.
            objects: Where the content of new files is kept; None for the database.
            limits: How much may be kept.
        """
        self._sessions = sessions
        self._objects = objects
        self.limits = limits or FileLimits()

    async def store(
        self,
        owner: str,
        content: IO[bytes],
        new: NewFile,
        *,
        also: Callable[[AsyncSession, uuid.UUID], Awaitable[None]] = _nothing_more,
    ) -> StoredFile:
        """Keep a file.

        Args:
            owner: Whose it is to be.
            content: At its start.
            new: What else is known of it.
            also: Writes more in the same transaction; it is told the file's id.

        Raises:
            FileTooLarge: It is larger than files may be.
            QuotaExceeded: The owner has no room for it.
            ObjectsAway: The object store cannot be reached.
        """
        file = await asyncio.to_thread(_describe, owner, content, new)
        if file.size > self.limits.file_bytes:
            raise FileTooLarge(f"A file may have {self.limits.file_bytes // _MEGABYTE} MB at most")
        names = await self._put_objects(owner, content, file) if self._objects else []
        async with self._sessions.begin() as session:
            known = await self._make_room(session, owner, file)
            if known is None:
                await files.insert_file(session, file)
                await self._insert_parts(session, content, file, names)
            await also(session, known or file.id)
        return file if known is None else await self.require(owner, known)

    async def require(self, owner: str, file_id: uuid.UUID) -> StoredFile:
        """Return what is known of an owner's file.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions() as session:
            return await files.require_file(session, owner, file_id)

    async def stream(self, file: StoredFile) -> AsyncIterator[bytes]:
        """Give the content of a file piece by piece. No connection is held in between.

        Raises:
            NotFound: It has been deleted meanwhile.
            ObjectsAway: The object store cannot be reached.
            ValueLost: Its content is not where it should be.
        """
        for number in range(-(-file.size // PART_BYTES)):
            async with self._sessions() as session:
                body = await files.require_part(session, file.user_id, file.id, number)
            yield await self._read_part(body)

    async def delete(
        self,
        owner: str,
        file_id: uuid.UUID,
        *,
        also: Callable[[AsyncSession], Awaitable[None]] = _nothing_more,
    ) -> None:
        """Delete a file.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions.begin() as session:
            await files.delete_file(session, owner, file_id)
            await also(session)

    async def _make_room(self, session: AsyncSession, owner: str, file: StoredFile) -> uuid.UUID | None:
        """Return the file that was stored under the same key, or None when there is none and room for this one."""
        usage = await files.lock_usage(session, owner)
        if file.key is not None:
            known = await files.find_by_key(session, owner, file.key)
            if known is not None:
                return known
        if usage.bytes + file.size > self.limits.quota_bytes:
            raise QuotaExceeded(
                f"All your files together may have {self.limits.quota_bytes // _MEGABYTE} MB at most",
                details={"quota_bytes": self.limits.quota_bytes, "used_bytes": usage.bytes},
            )
        if usage.files >= MAX_FILES:
            raise QuotaExceeded(f"You may have {MAX_FILES:,} files at most")
        return None

    async def _put_objects(self, owner: str, content: IO[bytes], file: StoredFile) -> list[str]:
        assert self._objects is not None
        async with self._sessions.begin() as session:
            # What is bound to be refused is not brought to the object store first.
            await self._make_room(session, owner, file)
        names = [make_object_name(file.sha256) for _ in range(0, file.size, PART_BYTES)]
        if names:
            async with self._sessions.begin() as session:
                await files.announce_objects(session, names)
        for number, name in enumerate(names):
            await self._objects.put(name, await _read_at(content, number))
        return names

    async def _insert_parts(
        self, session: AsyncSession, content: IO[bytes], file: StoredFile, names: list[str]
    ) -> None:
        for number in range(-(-file.size // PART_BYTES)):
            body = Body(object=names[number]) if names else Body(data=await _read_at(content, number))
            await files.insert_part(session, file.id, number, body)

    async def _read_part(self, body: Body) -> bytes:
        if body.data is not None:
            return body.data
        if self._objects is None:
            raise ValueLost("A file is in an object store, and PERDURE_VALUE_STORE does not name it")
        try:
            return await self._objects.get(body.object or "")
        except ObjectMissing as error:
            raise ValueLost("A file is not where it should be") from error


def _describe(owner: str, content: IO[bytes], new: NewFile) -> StoredFile:
    content.seek(0)
    digest, size, head, tail = hashlib.sha256(), 0, b"", b""
    while piece := content.read(1024 * 1024):
        digest.update(piece)
        size += len(piece)
        head = head or piece[:HEAD_BYTES]
        tail = (tail + piece)[-TAIL_BYTES:]
    content_type = sniff_type(
        head, tail if size > len(head) else b"", declared=new.content_type, name=new.name
    )
    now = datetime.now(UTC)
    return StoredFile(
        id=uuid.uuid4(),
        user_id=owner,
        execution_id=new.execution_id,
        key=new.key,
        name=clean_name(new.name, content_type=content_type),
        content_type=content_type,
        size=size,
        sha256=digest.hexdigest(),
        created_at=now,
        expires_at=now + new.lifetime if new.lifetime else None,
    )


async def _read_at(content: IO[bytes], number: int) -> bytes:
    def read() -> bytes:
        content.seek(number * PART_BYTES)
        return content.read(PART_BYTES)

    return await asyncio.to_thread(read)

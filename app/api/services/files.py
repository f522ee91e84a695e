"""The files of all owners, one owner at a time: what the API does with them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import IO

from app.api.idempotency import note_done
from app.database import Sessions
from app.files.store import FileLimits, FileStore, NewFile
from app.models import files
from app.models.page import Page
from app.models.tables.files import StoredFile


class Files:
    """Files, as their owners see them."""

    def __init__(self, sessions: Sessions, store: FileStore) -> None:
        """Take where files are kept."""
        self._sessions = sessions
        self._store = store

    @property
    def limits(self) -> FileLimits:
        """Return how much may be kept."""
        return self._store.limits

    async def keep(
        self, owner: str, content: IO[bytes], *, name: str, content_type: str, lifetime: timedelta | None
    ) -> StoredFile:
        """Keep a file that was sent.

        Raises:
            FileTooLarge: It is larger than files may be.
            QuotaExceeded: The owner has no room for it.
        """
        new = NewFile(name=name, content_type=content_type, lifetime=lifetime)
        return await self._store.store(owner, content, new, also=note_done)

    async def require(self, owner: str, file_id: uuid.UUID) -> StoredFile:
        """Return what is known of a file.

        Raises:
            NotFound: The owner has none of this id.
        """
        return await self._store.require(owner, file_id)

    async def open(self, owner: str, file_id: uuid.UUID) -> tuple[StoredFile, AsyncIterator[bytes]]:
        """Return a file and its content in pieces, the first of which is there already.

        Raises:
            NotFound: The owner has none of this id.
            ObjectsAway: Its content cannot be read now.
        """
        file = await self._store.require(owner, file_id)
        pieces = self._store.stream(file)
        first = await anext(pieces, b"")

        async def content() -> AsyncIterator[bytes]:
            yield first
            async for piece in pieces:
                yield piece

        return file, content()

    async def list(
        self, owner: str, *, execution_id: uuid.UUID | None, cursor: str | None, limit: int
    ) -> Page[StoredFile]:
        """Return an owner's files, newest first."""
        async with self._sessions() as session:
            return await files.list_files(
                session, owner, execution_id=execution_id, cursor=cursor, limit=limit
            )

    async def delete(self, owner: str, file_id: uuid.UUID) -> None:
        """Delete a file.

        Raises:
            NotFound: The owner has none of this id.
        """
        await self._store.delete(owner, file_id, also=note_done)

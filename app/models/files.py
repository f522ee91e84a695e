"""Files of users: what is known of each, and their content in pieces, in Postgres or in objects.

A file never changes. How much an owner has is counted under a lock of that owner, so that two uploads at once cannot
both use the last of the quota.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    delete,
    func,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import NotFound
from app.models.page import Page, dated_key, make_page, read_cursor
from app.models.tables.files import FilePart, StoredFile
from app.models.tables.values import LooseObject
from app.models.value_bodies import Body
from app.objects import ObjectsAway


@dataclass(frozen=True, slots=True)
class Usage:
    """How much an owner has."""

    bytes: int
    files: int


def _is_there() -> Any:
    """Return the condition that a file has not expired: one that has is gone, collected or not."""
    return or_(col(StoredFile.expires_at).is_(None), col(StoredFile.expires_at) > func.now())


async def lock_usage(session: AsyncSession, owner: str) -> Usage:
    """Return how much an owner has, and let nobody add to it until the transaction ends."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"files of {owner}", 0))))
    query = select(func.coalesce(func.sum(col(StoredFile.size)), 0), func.count()).where(
        col(StoredFile.user_id) == owner, _is_there()
    )
    size, files = (await session.execute(query)).one()
    return Usage(int(size), files)


async def find_by_key(session: AsyncSession, owner: str, key: str) -> uuid.UUID | None:
    """Return the id of the file that an owner stored under a key, or None."""
    query = select(col(StoredFile.id)).where(col(StoredFile.user_id) == owner, col(StoredFile.key) == key)
    return (await session.execute(query)).scalar_one_or_none()


async def announce_objects(session: AsyncSession, names: Sequence[str]) -> None:
    """Write objects down before they are made, so that none is forgotten that never becomes part of a file."""
    await session.execute(insert(LooseObject).values([{"name": name} for name in names]))


async def insert_file(session: AsyncSession, file: StoredFile) -> None:
    """Write what is known of a file; its parts follow in the same transaction."""
    session.add(file)
    await session.flush()


async def insert_part(session: AsyncSession, file_id: uuid.UUID, number: int, body: Body) -> None:
    """Write a piece of a file.

    Raises:
        ObjectsAway: Its object has been collected before it was taken.
    """
    await session.execute(
        insert(FilePart).values(file_id=file_id, number=number, body=body.data, object=body.object)
    )
    if body.object is None:
        return
    own = (col(LooseObject.name) == body.object, col(LooseObject.is_doomed).is_(False))
    taken = await session.execute(delete(LooseObject).where(*own).returning(col(LooseObject.name)))
    if taken.first() is None:
        raise ObjectsAway


async def require_file(session: AsyncSession, owner: str, file_id: uuid.UUID) -> StoredFile:
    """Return an owner's file.

    Raises:
        NotFound: The owner has none of this id, or it has expired.
    """
    query = select(StoredFile).where(
        col(StoredFile.id) == file_id, col(StoredFile.user_id) == owner, _is_there()
    )
    file = (await session.execute(query)).scalar_one_or_none()
    if file is None:
        raise NotFound
    return file


async def require_part(session: AsyncSession, owner: str, file_id: uuid.UUID, number: int) -> Body:
    """Return a piece of an owner's file.

    Raises:
        NotFound: The owner has no such file, or it has no such piece.
    """
    query = (
        select(col(FilePart.body), col(FilePart.object))
        .join(StoredFile, col(StoredFile.id) == col(FilePart.file_id))
        .where(
            col(FilePart.file_id) == file_id, col(FilePart.number) == number, col(StoredFile.user_id) == owner
        )
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFound
    return Body(*row)


async def list_files(
    session: AsyncSession,
    owner: str,
    *,
    execution_id: uuid.UUID | None = None,
    cursor: str | None = None,
    limit: int,
) -> Page[StoredFile]:
    """Return an owner's files, newest first; those of one execution if it is named."""
    conditions = [col(StoredFile.user_id) == owner, _is_there()]
    if execution_id is not None:
        conditions.append(col(StoredFile.execution_id) == execution_id)
    if cursor:
        key = tuple_(col(StoredFile.created_at), col(StoredFile.id))
        conditions.append(key < tuple_(*read_cursor(cursor, dated_key)))
    query = (
        select(StoredFile)
        .where(*conditions)
        .order_by(col(StoredFile.created_at).desc(), col(StoredFile.id).desc())
        .limit(limit + 1)
    )
    rows = (await session.execute(query)).scalars().all()
    return make_page(rows, limit, lambda row: (row.created_at.isoformat(), row.id))


async def delete_file(session: AsyncSession, owner: str, file_id: uuid.UUID) -> None:
    """Delete an owner's file. Its objects are deleted later.

    Raises:
        NotFound: The owner has none of this id.
    """
    await require_file(session, owner, file_id)
    await _delete(session, col(StoredFile.user_id) == owner, col(StoredFile.id) == file_id)


async def delete_files_of(session: AsyncSession, owner: str, execution_id: uuid.UUID) -> None:
    """Delete the files that go with an execution."""
    await _delete(session, col(StoredFile.user_id) == owner, col(StoredFile.execution_id) == execution_id)


async def _delete(session: AsyncSession, *which: Any) -> None:
    objects = (
        select(col(FilePart.object), text("'-infinity'::timestamptz"))
        .join(StoredFile, col(StoredFile.id) == col(FilePart.file_id))
        .where(*which, col(FilePart.object).is_not(None))
    )
    await session.execute(insert(LooseObject).from_select(["name", "since"], objects))
    await session.execute(delete(StoredFile).where(*which).execution_options(synchronize_session=False))

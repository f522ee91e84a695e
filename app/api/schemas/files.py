"""Files on the wire."""

from __future__ import annotations

import uuid
from datetime import datetime

from pydantic import BaseModel

from app.files.references import make_reference
from app.models.tables.files import StoredFile


class FileView(BaseModel):
    """A file, without its content."""

    id: uuid.UUID
    reference: str
    """What to give to a graph in place of the file."""
    name: str
    content_type: str
    """As its content shows."""
    size: int
    """Bytes."""
    sha256: str
    execution_id: uuid.UUID | None
    """The execution that it is deleted with; null for one that is kept."""
    created_at: datetime
    expires_at: datetime | None
    """When it is deleted by itself; null for never."""

    @classmethod
    def of(cls, file: StoredFile) -> FileView:
        """Make the view of a file."""
        return cls(
            id=file.id,
            reference=make_reference(file.id),
            name=file.name,
            content_type=file.content_type,
            size=file.size,
            sha256=file.sha256,
            execution_id=file.execution_id,
            created_at=file.created_at,
            expires_at=file.expires_at,
        )

"""Reviews on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.models.review_writes import ReviewStatus

MAX_MESSAGE_CHARACTERS = 2_000


class AnswerBody(BaseModel):
    """What somebody has decided."""

    model_config = ConfigDict(strict=True, extra="forbid")

    approved: bool
    data: Any = None
    """The edited value, of an approved and editable review; null or left out for the value as it was shown."""
    message: Annotated[str, Field(max_length=MAX_MESSAGE_CHARACTERS)] = ""
    """Comes out of the node's pin `review_message`."""


class QuestionView(BaseModel):
    """What a person is asked."""

    name: str
    instructions: str
    data: Any
    editable: bool
    """Whether an approval may bring other data."""
    edit_schema: dict[str, Any] | None = Field(alias="schema")
    """JSON schema of edited data; without one they stay of the same JSON type."""
    requested_at: datetime
    due_at: datetime | None
    """When it times out; null for never."""
    status: ReviewStatus


class ReviewView(QuestionView):
    """A review as its owner sees it."""

    execution_id: UUID
    graph_id: UUID
    node_id: str
    node_execution_id: UUID
    link: str | None
    """Lets whoever has it answer this review, once, without a token. Null when it cannot be answered any more, and for
    an API key that is not for `reviews:write`."""
    approved: bool | None
    """Null while nobody has answered."""
    answered_by: str | None
    """A user's id, or `link`."""
    answered_at: datetime | None
    message: str | None

"""The block that asks a person. Where the question is shown and how the wait survives is the engine's affair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted
from app.blocks.holds import Question, ReviewBlock, Verdict
from app.blocks.json_schemas import check_schema
from app.errors import BlockError

MAX_SECONDS = 10 * 365 * 86_400
MAX_NAME_CHARACTERS = 1_000
MAX_INSTRUCTIONS_CHARACTERS = 10_000

Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False)]


class ReviewTimedOut(BlockError):
    """Nobody has answered the review in time."""

    code = "REVIEW_TIMED_OUT"


class HumanInTheLoopBlock(ReviewBlock):
    """Show a value to a person, and pass it on as they approve, edit or reject it.

    The wait is durable: it goes on while nothing of the engine runs.
    """

    id = "8b2a7b3c-6e9d-4a5f-8c1b-2e3f4a5b6c7d"
    categories = (BlockCategory.BASIC,)

    class Input(BlockInput):
        """What is shown, to what end, and for how long."""

        data: Any
        """What is to be approved."""
        name: str = Field(max_length=MAX_NAME_CHARACTERS)
        """What it is about, in a few words."""
        editable: bool = True
        """Whether who approves it may change it first."""
        instructions: str = Field(default="", max_length=MAX_INSTRUCTIONS_CHARACTERS)
        """What to look at."""
        edit_schema: dict[str, Any] | None = Field(default=None, alias="schema")
        """JSON schema that changed data must satisfy; without one it stays of the same JSON type."""
        timeout_seconds: Seconds | None = None
        """How long an answer is waited for; for ever when left out."""
        remind_after_seconds: Seconds | None = None
        """When the execution's events tell that nobody has answered yet."""

    class Output(BlockOutput):
        """The value on one of three pins."""

        approved_data: Any
        """The value as approved, edited or not."""
        rejected_data: Any
        """The value, when it was rejected."""
        review_message: str
        """What was said about it; only when something was."""
        timed_out: Any
        """The value, when nobody answered in time. Without a link from here that is a failure."""

    def ask(self, given: Input) -> Question:
        """Return the question.

        Raises:
            BlockInputInvalid: The schema is none that is taken.
            BlockLimitExceeded: It is too large.
        """
        if given.edit_schema is not None:
            check_schema(given.edit_schema)
        return Question(
            name=given.name,
            data=given.data,
            instructions=given.instructions,
            is_editable=given.editable,
            schema=given.edit_schema,
            timeout_seconds=given.timeout_seconds,
            remind_after_seconds=given.remind_after_seconds,
        )

    def run(self, given: Input, verdict: Verdict) -> Iterator[Emitted]:
        """Emit the value by what was decided, then the message if there is one."""
        yield ("approved_data" if verdict.is_approved else "rejected_data"), verdict.data
        if verdict.message:
            yield "review_message", verdict.message

    def run_late(self, given: Input, *, is_linked: bool) -> Iterator[Emitted]:
        """Emit the value where the graph handles that nobody has answered.

        Raises:
            ReviewTimedOut: It does not.
        """
        if not is_linked:
            raise ReviewTimedOut
        yield "timed_out", given.data

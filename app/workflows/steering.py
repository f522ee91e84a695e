"""What others have asked of an execution, and the changes of its status that are still to be recorded."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from app.activities.contracts.waves import StatusMark


STATUS = SearchAttributeKey.for_keyword("GraphStatus")


class Steering:
    """Paused or not, waiting or not; a record follows every change."""

    def __init__(self, *, is_ready: bool) -> None:
        """Begin unpaused; not ready when the state that a former run has left is still to be loaded."""
        self.is_ready = is_ready
        self.is_paused = False
        self.paused_for = ""
        """The code of what the engine has paused it for; empty when a person has."""
        self.is_waiting = False
        """Whether nothing can run until a person has answered."""
        self.is_ended = False
        self.fundings = 0
        """How often this run was told that there are credits again."""
        self.marks: list[StatusMark] = []
        """Changes to be recorded."""
        self._made = 0
        self._recorded = 0

    async def pause(self, *, is_paused: bool) -> None:
        """Pause or resume; return when that is recorded.

        Raises:
            ApplicationError: The execution has ended meanwhile.
        """
        await self.until_ready()
        self.refuse_when_ended()
        self.set_paused(is_paused=is_paused)
        wanted = self._made
        await workflow.wait_condition(lambda: self._recorded >= wanted or self.is_ended)
        if self._recorded < wanted:
            self.refuse_when_ended()

    def set_paused(self, *, is_paused: bool, reason: str = "") -> None:
        """Pause or resume; the record follows. What is paused is not paused once more by the engine."""
        if self.is_paused and reason:
            return
        if self.paused_for and not is_paused:
            self.fundings += 1
        if self.is_paused is not is_paused or self.paused_for != reason:
            self.is_paused, self.paused_for = is_paused, reason
            self.is_waiting = False
            self._mark("PAUSED" if is_paused else "RUNNING", reason)

    @property
    def standing(self) -> str:
        """Return how a pause is told to people."""
        return f"Paused ({self.paused_for})" if self.paused_for else "Paused"

    def fund(self) -> None:
        """Go on if it was for want of credits that nothing went on."""
        if self.paused_for:
            self.set_paused(is_paused=False)
        else:
            self.fundings += 1

    def set_waiting(self, *, is_waiting: bool) -> None:
        """Note whether the execution waits for a person alone. One that is paused is said to be paused."""
        if not self.is_paused and self.is_waiting is not is_waiting:
            self.is_waiting = is_waiting
            self._mark("WAITING" if is_waiting else "RUNNING")

    def take_marks(self) -> list[StatusMark]:
        """Return the changes to be recorded, once."""
        marks, self.marks = self.marks, []
        return marks

    def note_recorded(self, marks: list[StatusMark]) -> None:
        """Take that changes have been recorded."""
        self._recorded += len(marks)

    def refuse_when_ended(self) -> None:
        """Refuse a message that comes too late.

        Raises:
            ApplicationError: The execution has ended.
        """
        if self.is_ended:
            raise ApplicationError("The execution has ended", type="CONFLICT", non_retryable=True)

    def dump(self) -> list[object]:
        """Return the state as JSON. Nothing is left to be recorded then."""
        return [self.is_paused, self.is_waiting, self._made, self.paused_for]

    def load(self, dumped: list[object]) -> None:
        """Go on from a state."""
        is_paused, is_waiting, made, *reason = dumped
        assert isinstance(made, int)
        self.paused_for = str(reason[0]) if reason else ""
        self.is_paused, self.is_waiting = bool(is_paused), bool(is_waiting)
        self._made = self._recorded = made
        self.is_ready = True

    async def until_ready(self) -> None:
        """Wait until it is known where the execution stands, or that it has ended."""
        if not self.is_ready:
            await workflow.wait_condition(lambda: self.is_ready or self.is_ended)

    def _mark(self, status: str, reason: str = "") -> None:
        self._made += 1
        self.marks.append(StatusMark(status, self._made, reason))
        workflow.upsert_search_attributes([STATUS.value_set(status)])

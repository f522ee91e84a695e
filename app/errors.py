"""The one tree of errors. Each has a stable code; nobody branches on a message.

How an error looks in HTTP is decided in `app.api.errors`, how it looks in Temporal in `app.activities.failures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar


class Severity(StrEnum):
    """How loudly an error is to be reported."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Category(StrEnum):
    """What kind of thing went wrong."""

    VALIDATION = "validation"
    AUTH = "auth"
    RESOURCE = "resource"
    NETWORK = "network"
    SYSTEM = "system"
    BUSINESS = "business"


class PerdureError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "SYSTEM_ERROR"
    severity: ClassVar[Severity] = Severity.HIGH
    category: ClassVar[Category] = Category.SYSTEM

    def __init__(self, message: str | None = None, *, details: Mapping[str, Any] | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().split("\n")[0]
        self.details = dict(details or {})
        super().__init__(self.message)


class InvalidRequest(PerdureError):
    """The request is not of the form that this call takes."""

    code = "INVALID_REQUEST"
    severity = Severity.LOW
    category = Category.VALIDATION


class PayloadTooLarge(InvalidRequest):
    """The request is larger than this call takes."""

    code = "PAYLOAD_TOO_LARGE"


class GraphInvalid(PerdureError):
    """The graph, or what it was given to run with, is not valid."""

    code = "GRAPH_VALIDATION_ERROR"
    severity = Severity.LOW
    category = Category.VALIDATION

    def __init__(self, node_errors: Mapping[str, Mapping[str, str]], message: str | None = None) -> None:
        super().__init__(
            message, details={"node_errors": {node: dict(errors) for node, errors in node_errors.items()}}
        )


class Unauthenticated(PerdureError):
    """A valid token is needed."""

    code = "UNAUTHENTICATED"
    severity = Severity.LOW
    category = Category.AUTH


class Forbidden(PerdureError):
    """This is not allowed to you."""

    code = "FORBIDDEN"
    severity = Severity.MEDIUM
    category = Category.AUTH


class NotFound(PerdureError):
    """There is nothing of that id."""

    code = "NOT_FOUND"
    severity = Severity.LOW
    category = Category.RESOURCE


class Conflict(PerdureError):
    """The thing is not in a state that allows this."""

    code = "CONFLICT"
    severity = Severity.LOW
    category = Category.BUSINESS


class InsufficientCredits(PerdureError):
    """There are not enough credits for this."""

    code = "INSUFFICIENT_CREDITS"
    severity = Severity.LOW
    category = Category.BUSINESS


class BudgetExceeded(PerdureError):
    """The budget of the execution is used up."""

    code = "BUDGET_EXCEEDED"
    severity = Severity.LOW
    category = Category.BUSINESS


class SpendingLimitReached(PerdureError):
    """What may be spent, in a day or at all, is used up."""

    code = "SPENDING_LIMIT_REACHED"
    severity = Severity.LOW
    category = Category.BUSINESS


class RateLimited(PerdureError):
    """There were too many requests; try again later."""

    code = "RATE_LIMITED"
    severity = Severity.LOW
    category = Category.RESOURCE

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after_seconds: int,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, details={"retry_after_seconds": retry_after_seconds})
        self.headers = {"Retry-After": str(retry_after_seconds), **(headers or {})}
        """What an answer in HTTP says of it."""


class SlowRequest(PerdureError):
    """The body of the request comes too slowly."""

    code = "REQUEST_TIMEOUT"
    severity = Severity.LOW
    category = Category.NETWORK


class EngineUnavailable(PerdureError):
    """The engine cannot be reached; nothing was started."""

    code = "ENGINE_UNAVAILABLE"
    severity = Severity.HIGH
    category = Category.SYSTEM


MESSAGE_LIMIT = 2_000
"""Characters that the message of a failed block has at most."""


class BlockError(PerdureError):
    """The block failed, and would fail again."""

    code = "BLOCK_FAILED"
    severity = Severity.MEDIUM
    category = Category.BUSINESS
    is_transient: ClassVar[bool] = False

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        # It goes over links and into histories, however long what it quotes may be.
        super().__init__(message and message[:MESSAGE_LIMIT], details=details)
        self.retry_after_seconds = retry_after_seconds


class BlockInputInvalid(BlockError):
    """The block was given an input that it does not take."""

    code = "INVALID_INPUT"
    category = Category.VALIDATION


class BlockOutputInvalid(BlockError):
    """The block gave an output that it does not declare."""

    code = "INVALID_OUTPUT"
    category = Category.SYSTEM


class BlockLimitExceeded(BlockError):
    """The block reached a limit on time, size or steps."""

    code = "LIMIT_EXCEEDED"
    category = Category.RESOURCE


class BlockMissing(BlockError):
    """The block does not exist here."""

    code = "BLOCK_MISSING"
    severity = Severity.LOW
    category = Category.RESOURCE


class BlockDisabled(BlockError):
    """The block is turned off here."""

    code = "BLOCK_DISABLED"
    severity = Severity.LOW
    category = Category.AUTH


class BlockUnavailable(BlockError):
    """What the block needs is not available now; it may be later."""

    code = "BLOCK_UNAVAILABLE"
    category = Category.NETWORK
    is_transient = True

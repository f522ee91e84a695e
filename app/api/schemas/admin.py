"""What administrators send and see: users, credits that are given, executions of anyone, how all of it stands."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.api.auth import MAX_ID_LENGTH, is_text
from app.api.schemas.paths import Id
from app.api.schemas.texts import clean
from app.errors import NotFound
from app.models.page import MAX_NUMBER

REASON_LENGTH = 500


def _reason(text: str) -> str:
    cleaned = clean(text)
    if not 1 <= len(cleaned) <= REASON_LENGTH:
        raise ValueError(f"must have 1 to {REASON_LENGTH} characters, HTML not counted")
    return cleaned


def _user_id(text: str) -> str:
    if not is_text(text):
        raise NotFound
    return text


Reason = Annotated[str, AfterValidator(_reason)]
UserId = Annotated[str, AfterValidator(_user_id), Field(max_length=MAX_ID_LENGTH)]
Budget = Annotated[int, Field(ge=0, le=MAX_NUMBER)]


class AdminUserView(BaseModel):
    """A user as administrators see one."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    email: str
    name: str
    role: str
    """What the last token said."""
    credits: int
    daily_budget: int | None
    """What the user has set."""
    total_budget: int | None
    daily_limit: int | None
    """What an admin has set."""
    total_limit: int | None
    spent: int
    """Credits charged and reserved ever; refunds do not lessen it."""
    reserved: int
    """Credits that are reserved for calls under way."""
    suspended_at: datetime | None
    created_at: datetime
    last_login: datetime | None


class AdminUserDetailView(AdminUserView):
    """A user with what they have."""

    executions: Mapping[str, int] = Field(default_factory=dict)
    """How many, by status."""


class AdminUserBody(BaseModel):
    """What is to be other than before; what is left out stays. Roles are what tokens say."""

    model_config = ConfigDict(strict=True, extra="forbid")

    suspended: bool | None = None
    daily_limit: Budget | None = None
    """The most credits that may be spent in a day (UTC), whatever budget the user has set; null for any."""
    total_limit: Budget | None = None
    """The most credits that may be spent at all, whatever budget the user has set; null for any."""


class GrantBody(BaseModel):
    """Credits that are given, or taken when it is fewer than 0."""

    model_config = ConfigDict(strict=True, extra="forbid")

    credits: Annotated[int, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]
    reason: Reason
    """Shown to the user."""

    @model_validator(mode="after")
    def _is_something(self) -> GrantBody:
        if self.credits == 0:
            raise ValueError("credits must not be 0")
        return self


class RefundBody(BaseModel):
    """What is to be given back of a charge: of an execution with all that is nested in it, or of one call."""

    model_config = ConfigDict(strict=True, extra="forbid")

    execution_id: Id | None = None
    node_execution_id: Id | None = None
    credits: Annotated[int, Field(ge=1, le=MAX_NUMBER)] | None = None
    """All that is left of the charge when left out."""
    reason: Reason
    """Shown to the user."""

    @model_validator(mode="after")
    def _names_one(self) -> RefundBody:
        if (self.execution_id is None) == (self.node_execution_id is None):
            raise ValueError("name an execution or a node execution")
        return self


class EnteredView(BaseModel):
    """What was entered in the ledger."""

    credits: int
    """That the balance gained; negative when it lost."""
    balance: int
    """After it."""


class AdminExecutionView(BaseModel):
    """An execution of anyone, without its values."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    user_id: str
    graph_id: uuid.UUID
    graph_version: int
    status: str
    trigger: str
    parent_id: uuid.UUID | None
    error: dict[str, Any] | None
    cost: int
    reserved: int
    """Credits that are reserved for its calls under way."""
    budget: int | None
    paused_for: str
    """The code of what the engine has paused it for; empty for anything else."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class StuckExecutionView(BaseModel):
    """An execution that somebody should look at."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    user_id: str
    created_at: datetime


class StuckView(BaseModel):
    """Executions that may be stuck for one reason."""

    model_config = ConfigDict(from_attributes=True)

    count: int
    oldest: list[StuckExecutionView]


class OverviewView(BaseModel):
    """How it stands with everybody's executions and credits."""

    executions: Mapping[str, int]
    """How many are open, or have ended in the last day, by status."""
    failures: Mapping[str, int]
    """How many have failed in the last day, by the code of their error."""
    stuck: Mapping[str, StuckView]
    """`queued` for more than 5 minutes, `running` for more than 24 hours, `silent` for an hour though running,
    `reserving` credits with no call under way."""
    ledger_differences: int
    """Of how many users the balance is not what the ledger says, or one of the latest 100,000 entries does not follow
    from the one before. Anything but 0 is a fault."""
    backlog: Mapping[str, int] | None
    """About how many tasks wait for a worker, by task queue; null while Temporal does not say."""

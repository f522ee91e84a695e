"""What the API answers with about what starts executions, and about who is told of them; an answer may hold more."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from perdure.types import Status

OnInsufficientCredits = Literal["pause", "fail"]


class ScheduledExecution(TypedDict):
    """An execution that a schedule has started, or could not."""

    id: str
    status: Status
    error: dict[str, Any] | None
    created_at: str
    ended_at: str | None


class Schedule(TypedDict):
    """When a graph is executed by itself."""

    id: str
    user_id: str
    graph_id: str
    graph_version: int | None
    preset_id: str | None
    name: str
    cron: str | list[str] | None
    calendars: list[dict[str, str]]
    intervals: list[dict[str, int]]
    timezone: str
    start_at: str | None
    end_at: str | None
    jitter: int
    catchup_window: int
    overlap: str
    remaining_actions: int | None
    pause_on_failure: bool
    paused: bool
    note: str
    inputs: dict[str, Any]
    credentials_inputs: dict[str, Any]
    budget: int | None
    on_insufficient_credits: OnInsufficientCredits
    timeout_seconds: float | None
    max_node_executions: int | None
    priority: int | None
    next_fire_times: list[str] | None
    """None when Temporal cannot be asked."""
    fires_missed: int | None
    fires_overlapped: int | None
    last_executions: list[ScheduledExecution]
    created_at: str
    updated_at: str


class Backfill(TypedDict):
    """What was asked of a schedule for a time that has passed."""

    schedule_id: str
    fires: int


class Preset(TypedDict):
    """Inputs and credentials of a graph under a name."""

    id: str
    graph_id: str
    graph_version: int | None
    name: str
    description: str
    inputs: dict[str, Any]
    credentials_inputs: dict[str, Any]
    created_at: str
    updated_at: str


class Webhook(TypedDict):
    """An address at which somebody outside starts executions of a graph."""

    id: str
    url: str
    graph_id: str
    graph_version: int | None
    preset_id: str | None
    name: str
    scheme: str
    body_type: str
    input: str | None
    events: list[str]
    budget: int | None
    on_insufficient_credits: OnInsufficientCredits
    allows_wait: bool
    is_active: bool
    former_secret_until: str | None
    created_at: str
    updated_at: str


class NewWebhook(Webhook):
    """A webhook that has just got its secret."""

    secret: str | None
    """This once; None when you have brought it."""


class WebhookDelivery(TypedDict):
    """Something that has come in through a webhook, however often."""

    delivery_id: str
    event: str
    times: int
    outcome: str
    message: str
    execution_id: str | None
    received_at: str
    last_at: str


class Notification(TypedDict):
    """Who is told of what."""

    id: str
    name: str
    channel: Literal["webhook", "email"]
    target: str
    events: list[str]
    graph_id: str | None
    is_active: bool
    includes_outputs: bool
    former_secret_until: str | None
    failing_since: str | None
    disabled_for: str | None
    created_at: str
    updated_at: str


class NewNotification(Notification):
    """A notification whose signing secret was just made."""

    secret: str | None
    """This once; None for e-mail."""


class NotificationDelivery(TypedDict):
    """One event, told by one notification."""

    id: str
    notification_id: str
    channel: Literal["webhook", "email"]
    event: str
    execution_id: str | None
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    log: list[dict[str, Any]]
    created_at: str
    next_at: str | None
    ended_at: str | None


class Publication(TypedDict):
    """A graph that is called by a name."""

    graph_id: str
    slug: str
    graph_version: int | None
    preset_id: str | None
    description: str
    is_tool: bool
    budget: int | None
    url: str
    runs_version: int
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    created_at: str
    updated_at: str


class Run(TypedDict):
    """What came of a call of a published graph."""

    execution_id: str
    status: Status
    outputs: dict[str, list[Any]]
    cost: int

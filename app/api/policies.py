"""Who may call which route, and what the audit log calls it: one table. What is not in it, nobody may call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.api.auth import Caller
from app.errors import Forbidden


class Scope(StrEnum):
    """What an API key may be for. A token is for all of them."""

    GRAPHS_READ = "graphs:read"
    GRAPHS_WRITE = "graphs:write"
    EXECUTIONS_READ = "executions:read"
    EXECUTIONS_RUN = "executions:run"
    """Starts, stops, pauses, resumes, reruns and deletes executions."""
    REVIEWS_WRITE = "reviews:write"
    """Answers reviews. An agent that holds a key should not hold this."""
    BLOCKS_READ = "blocks:read"
    BLOCKS_RUN = "blocks:run"
    SCHEDULES_READ = "schedules:read"
    SCHEDULES_WRITE = "schedules:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    """Makes addresses at which others start executions."""
    NOTIFICATIONS_READ = "notifications:read"
    NOTIFICATIONS_WRITE = "notifications:write"
    """Says where results are told of: it sends what executions give to somewhere else."""
    CREDENTIALS_READ = "credentials:read"
    CREDENTIALS_WRITE = "credentials:write"
    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    MEMORIES_READ = "memories:read"
    MEMORIES_WRITE = "memories:write"
    USER_READ = "user:read"
    USER_WRITE = "user:write"
    CREDITS_READ = "credits:read"
    CREDITS_WRITE = "credits:write"
    """Buys credits and sets budgets."""
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    AUDIT_READ = "audit:read"
    ADMIN = "admin"
    """What administrators do as such. Of no use in the key of anybody else."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route asks of its caller."""

    scope: Scope
    action: str = ""
    """Of a route that changes something: its name in the audit log, as `noun.verb`."""
    is_for_admins: bool = False
    is_start: bool = False
    """Whether it starts executions, which are limited apart from other requests."""


S = Scope
POLICIES: Mapping[tuple[str, str], Policy] = {
    ("GET", "/blocks"): Policy(S.BLOCKS_READ),
    ("GET", "/blocks/{block_id}"): Policy(S.BLOCKS_READ),
    ("POST", "/blocks/{block_id}/execute"): Policy(S.BLOCKS_RUN, "block.execute", is_start=True),
    ("GET", "/models"): Policy(S.BLOCKS_READ),
    ("POST", "/codec/decode"): Policy(S.ADMIN, "admin.payloads_read", is_for_admins=True),
    ("POST", "/codec/encode"): Policy(S.ADMIN, is_for_admins=True),
    ("POST", "/credentials"): Policy(S.CREDENTIALS_WRITE, "credentials.create"),
    ("GET", "/credentials"): Policy(S.CREDENTIALS_READ),
    ("GET", "/credentials/{credentials_id}"): Policy(S.CREDENTIALS_READ),
    ("PATCH", "/credentials/{credentials_id}"): Policy(S.CREDENTIALS_WRITE, "credentials.update"),
    ("DELETE", "/credentials/{credentials_id}"): Policy(S.CREDENTIALS_WRITE, "credentials.delete"),
    ("GET", "/credentials/oauth/{provider}/login"): Policy(S.CREDENTIALS_WRITE),
    ("POST", "/credentials/oauth/{provider}/callback"): Policy(S.CREDENTIALS_WRITE, "credentials.log_in"),
    ("POST", "/admin/credentials/reencrypt"): Policy(S.ADMIN, "credentials.reencrypt", is_for_admins=True),
    ("GET", "/executions"): Policy(S.EXECUTIONS_READ),
    ("GET", "/executions/{execution_id}"): Policy(S.EXECUTIONS_READ),
    ("GET", "/executions/{execution_id}/events"): Policy(S.EXECUTIONS_READ),
    ("POST", "/executions/{execution_id}/tickets"): Policy(S.EXECUTIONS_READ),
    ("POST", "/graphs/{graph_id}/tickets"): Policy(S.EXECUTIONS_READ),
    ("POST", "/events/tickets"): Policy(S.EXECUTIONS_READ),
    ("GET", "/graphs/{graph_id}/events"): Policy(S.EXECUTIONS_READ),
    ("GET", "/events"): Policy(S.EXECUTIONS_READ),
    # Also at the root, without the prefix.
    ("GET", "/ws"): Policy(S.EXECUTIONS_READ),
    ("GET", "/executions/{execution_id}/nodes"): Policy(S.EXECUTIONS_READ),
    ("GET", "/executions/{execution_id}/results"): Policy(S.EXECUTIONS_READ),
    ("GET", "/executions/{execution_id}/values/{sha256}"): Policy(S.EXECUTIONS_READ),
    ("GET", "/executions/{execution_id}/reviews"): Policy(S.EXECUTIONS_READ),
    ("GET", "/reviews"): Policy(S.EXECUTIONS_READ),
    ("POST", "/graphs/{graph_id}/execute"): Policy(S.EXECUTIONS_RUN, "execution.start", is_start=True),
    ("POST", "/graphs/{graph_id}/execute/{version}"): Policy(
        S.EXECUTIONS_RUN, "execution.start", is_start=True
    ),
    ("POST", "/executions/{execution_id}/rerun"): Policy(S.EXECUTIONS_RUN, "execution.rerun", is_start=True),
    ("POST", "/executions/rerun"): Policy(S.EXECUTIONS_RUN, "execution.rerun", is_start=True),
    ("POST", "/graphs/{graph_id}/executions/{execution_id}/stop"): Policy(S.EXECUTIONS_RUN, "execution.stop"),
    ("POST", "/executions/{execution_id}/stop"): Policy(S.EXECUTIONS_RUN, "execution.stop"),
    ("POST", "/executions/stop"): Policy(S.EXECUTIONS_RUN, "execution.stop"),
    ("POST", "/executions/{execution_id}/pause"): Policy(S.EXECUTIONS_RUN, "execution.pause"),
    ("POST", "/executions/{execution_id}/resume"): Policy(S.EXECUTIONS_RUN, "execution.resume"),
    ("DELETE", "/executions/{execution_id}"): Policy(S.EXECUTIONS_RUN, "execution.delete"),
    ("POST", "/executions/{execution_id}/reviews/{node_execution_id}"): Policy(
        S.REVIEWS_WRITE, "review.answer"
    ),
    ("POST", "/files"): Policy(S.FILES_WRITE, "file.create"),
    ("GET", "/files"): Policy(S.FILES_READ),
    ("GET", "/files/{file_id}"): Policy(S.FILES_READ),
    ("GET", "/files/{file_id}/info"): Policy(S.FILES_READ),
    ("DELETE", "/files/{file_id}"): Policy(S.FILES_WRITE, "file.delete"),
    ("POST", "/graphs"): Policy(S.GRAPHS_WRITE, "graph.create"),
    ("GET", "/graphs"): Policy(S.GRAPHS_READ),
    ("POST", "/graphs/validate"): Policy(S.GRAPHS_READ),
    ("POST", "/graphs/import"): Policy(S.GRAPHS_WRITE, "graph.import"),
    ("GET", "/graphs/{graph_id}"): Policy(S.GRAPHS_READ),
    ("PUT", "/graphs/{graph_id}"): Policy(S.GRAPHS_WRITE, "graph.update"),
    ("DELETE", "/graphs/{graph_id}"): Policy(S.GRAPHS_WRITE, "graph.delete"),
    ("GET", "/graphs/{graph_id}/export"): Policy(S.GRAPHS_READ),
    ("GET", "/graphs/{graph_id}/analysis"): Policy(S.GRAPHS_READ),
    ("POST", "/graphs/{graph_id}/estimate"): Policy(S.GRAPHS_READ),
    ("GET", "/graphs/{graph_id}/versions"): Policy(S.GRAPHS_READ),
    ("PUT", "/graphs/{graph_id}/versions/active"): Policy(S.GRAPHS_WRITE, "graph.activate"),
    ("PUT", "/graphs/{graph_id}/publication"): Policy(S.GRAPHS_WRITE, "publication.update"),
    ("GET", "/graphs/{graph_id}/publication"): Policy(S.GRAPHS_READ),
    ("DELETE", "/graphs/{graph_id}/publication"): Policy(S.GRAPHS_WRITE, "publication.delete"),
    ("GET", "/publications"): Policy(S.GRAPHS_READ),
    ("POST", "/run/{slug}"): Policy(S.EXECUTIONS_RUN, "execution.start", is_start=True),
    ("GET", "/run/{slug}/openapi.json"): Policy(S.EXECUTIONS_RUN),
    # What a message begins is noted and limited by itself.
    ("POST", "/mcp"): Policy(S.EXECUTIONS_RUN),
    ("POST", "/presets"): Policy(S.GRAPHS_WRITE, "preset.create"),
    ("GET", "/presets"): Policy(S.GRAPHS_READ),
    ("GET", "/presets/{preset_id}"): Policy(S.GRAPHS_READ),
    ("PATCH", "/presets/{preset_id}"): Policy(S.GRAPHS_WRITE, "preset.update"),
    ("DELETE", "/presets/{preset_id}"): Policy(S.GRAPHS_WRITE, "preset.delete"),
    ("POST", "/presets/{preset_id}/execute"): Policy(S.EXECUTIONS_RUN, "execution.start", is_start=True),
    ("POST", "/graphs/{graph_id}/schedules"): Policy(S.SCHEDULES_WRITE, "schedule.create"),
    ("GET", "/graphs/{graph_id}/schedules"): Policy(S.SCHEDULES_READ),
    ("GET", "/schedules"): Policy(S.SCHEDULES_READ),
    ("GET", "/schedules/{schedule_id}"): Policy(S.SCHEDULES_READ),
    ("PATCH", "/schedules/{schedule_id}"): Policy(S.SCHEDULES_WRITE, "schedule.update"),
    ("DELETE", "/schedules/{schedule_id}"): Policy(S.SCHEDULES_WRITE, "schedule.delete"),
    ("POST", "/schedules/{schedule_id}/pause"): Policy(S.SCHEDULES_WRITE, "schedule.pause"),
    ("POST", "/schedules/{schedule_id}/resume"): Policy(S.SCHEDULES_WRITE, "schedule.resume"),
    ("POST", "/schedules/{schedule_id}/trigger"): Policy(
        S.SCHEDULES_WRITE, "schedule.trigger", is_start=True
    ),
    ("POST", "/schedules/{schedule_id}/backfill"): Policy(
        S.SCHEDULES_WRITE, "schedule.backfill", is_start=True
    ),
    ("POST", "/webhooks"): Policy(S.WEBHOOKS_WRITE, "webhook.create"),
    ("GET", "/webhooks"): Policy(S.WEBHOOKS_READ),
    ("GET", "/webhooks/{webhook_id}"): Policy(S.WEBHOOKS_READ),
    ("PATCH", "/webhooks/{webhook_id}"): Policy(S.WEBHOOKS_WRITE, "webhook.update"),
    ("DELETE", "/webhooks/{webhook_id}"): Policy(S.WEBHOOKS_WRITE, "webhook.delete"),
    ("POST", "/webhooks/{webhook_id}/rotate"): Policy(S.WEBHOOKS_WRITE, "webhook.rotate"),
    ("GET", "/webhooks/{webhook_id}/deliveries"): Policy(S.WEBHOOKS_READ),
    ("POST", "/notifications"): Policy(S.NOTIFICATIONS_WRITE, "notification.create"),
    ("GET", "/notifications"): Policy(S.NOTIFICATIONS_READ),
    ("GET", "/notifications/{notification_id}"): Policy(S.NOTIFICATIONS_READ),
    ("PATCH", "/notifications/{notification_id}"): Policy(S.NOTIFICATIONS_WRITE, "notification.update"),
    ("DELETE", "/notifications/{notification_id}"): Policy(S.NOTIFICATIONS_WRITE, "notification.delete"),
    ("POST", "/notifications/{notification_id}/rotate"): Policy(S.NOTIFICATIONS_WRITE, "notification.rotate"),
    ("POST", "/notifications/{notification_id}/test"): Policy(S.NOTIFICATIONS_WRITE, "notification.test"),
    ("GET", "/notifications/{notification_id}/deliveries"): Policy(S.NOTIFICATIONS_READ),
    ("POST", "/notifications/{notification_id}/redeliver"): Policy(
        S.NOTIFICATIONS_WRITE, "notification.redeliver"
    ),
    ("POST", "/notifications/deliveries/{delivery_id}/redeliver"): Policy(
        S.NOTIFICATIONS_WRITE, "notification.redeliver"
    ),
    ("GET", "/memories"): Policy(S.MEMORIES_READ),
    ("GET", "/memories/value"): Policy(S.MEMORIES_READ),
    ("DELETE", "/memories"): Policy(S.MEMORIES_WRITE, "memory.delete"),
    ("GET", "/admin/users"): Policy(S.ADMIN, "admin.users_read", is_for_admins=True),
    ("GET", "/admin/users/{user_id}"): Policy(S.ADMIN, "admin.user_read", is_for_admins=True),
    ("PATCH", "/admin/users/{user_id}"): Policy(S.ADMIN, "admin.user_update", is_for_admins=True),
    ("GET", "/admin/users/{user_id}/credits/entries"): Policy(
        S.ADMIN, "admin.entries_read", is_for_admins=True
    ),
    ("POST", "/admin/users/{user_id}/credits"): Policy(S.ADMIN, "admin.credits_grant", is_for_admins=True),
    ("POST", "/admin/users/{user_id}/refunds"): Policy(S.ADMIN, "admin.charge_refund", is_for_admins=True),
    ("GET", "/admin/executions"): Policy(S.ADMIN, "admin.executions_read", is_for_admins=True),
    ("GET", "/admin/executions/{execution_id}"): Policy(S.ADMIN, "admin.execution_read", is_for_admins=True),
    ("GET", "/admin/executions/{execution_id}/nodes"): Policy(
        S.ADMIN, "admin.execution_read", is_for_admins=True
    ),
    ("GET", "/admin/executions/{execution_id}/events"): Policy(
        S.ADMIN, "admin.execution_read", is_for_admins=True
    ),
    ("POST", "/admin/executions/{execution_id}/stop"): Policy(
        S.ADMIN, "admin.execution_stop", is_for_admins=True
    ),
    ("POST", "/admin/executions/{execution_id}/settle"): Policy(
        S.ADMIN, "admin.execution_settle", is_for_admins=True
    ),
    ("GET", "/admin/overview"): Policy(S.ADMIN, "admin.overview_read", is_for_admins=True),
    ("GET", "/admin/audit"): Policy(S.ADMIN, "admin.audit_read", is_for_admins=True),
    # At the root, without the prefix. By setting it is open, or for whoever holds a token of its own.
    ("GET", "/metrics"): Policy(S.ADMIN, is_for_admins=True),
    ("GET", "/user"): Policy(S.USER_READ),
    ("PUT", "/user"): Policy(S.USER_WRITE, "user.update"),
    ("GET", "/user/audit"): Policy(S.AUDIT_READ),
    ("GET", "/user/credits"): Policy(S.CREDITS_READ),
    ("PUT", "/user/credits/budgets"): Policy(S.CREDITS_WRITE, "budget.update"),
    ("GET", "/user/credits/history"): Policy(S.CREDITS_READ),
    ("GET", "/user/credits/entries"): Policy(S.CREDITS_READ),
    ("POST", "/user/credits/top-ups"): Policy(S.CREDITS_WRITE, "top_up.begin"),
    ("GET", "/user/credits/top-ups"): Policy(S.CREDITS_READ),
    ("GET", "/user/credits/top-ups/{top_up_id}"): Policy(S.CREDITS_READ),
    ("POST", "/user/credits/top-ups/{top_up_id}/refund"): Policy(S.CREDITS_WRITE, "top_up.refund"),
    ("GET", "/user/credits/auto-top-up"): Policy(S.CREDITS_READ),
    ("PUT", "/user/credits/auto-top-up"): Policy(S.CREDITS_WRITE, "auto_top_up.update"),
    ("POST", "/user/api-keys"): Policy(S.KEYS_WRITE, "api_key.create"),
    ("GET", "/user/api-keys"): Policy(S.KEYS_READ),
    ("GET", "/user/api-keys/{api_key_id}"): Policy(S.KEYS_READ),
    ("PATCH", "/user/api-keys/{api_key_id}"): Policy(S.KEYS_WRITE, "api_key.update"),
    ("POST", "/user/api-keys/{api_key_id}/rotate"): Policy(S.KEYS_WRITE, "api_key.rotate"),
    ("DELETE", "/user/api-keys/{api_key_id}"): Policy(S.KEYS_WRITE, "api_key.revoke"),
}
"""By method and path below the prefix, with names in place of values."""

OPEN: Mapping[tuple[str, str], str] = {
    ("GET", "/docs"): "what every deployment has",
    ("GET", "/docs/oauth2-redirect"): "what every deployment has",
    ("GET", "/redoc"): "what every deployment has",
    ("GET", "/openapi.json"): "what every deployment has",
    ("GET", "/health/live"): "nothing of anybody's",
    ("GET", "/health/ready"): "nothing of anybody's",
    ("GET", "/api/health/live"): "nothing of anybody's",
    ("GET", "/api/health/ready"): "nothing of anybody's",
    ("GET", "/api/reviews/link/{token}"): "for whoever holds a signed link",
    ("POST", "/api/reviews/link/{token}"): "for whoever holds a signed link",
    ("POST", "/api/payments/stripe/webhook"): "for whoever signs what they send",
    ("POST", "/api/webhooks/{webhook_id}"): "for whoever signs what they send",
    ("POST", "/api/codec/{capability}/decode"): "for whoever knows a secret part of the path",
    ("POST", "/api/codec/{capability}/encode"): "for whoever knows a secret part of the path",
}
"""By method and whole path: the routes that ask for no token, and why they may. A test finds every other one closed."""


def find_policy(method: str, path: str) -> Policy | None:
    """Return what a route asks of its caller, or None when nobody may call it.

    Args:
        method: As the route has it. A HEAD is a GET.
        path: Below the prefix.
    """
    return POLICIES.get(("GET" if method == "HEAD" else method, path))


def holds(caller: Caller, scope: Scope) -> bool:
    """Answer whether what a caller came with is for something."""
    return caller.scopes is None or scope in caller.scopes


def authorize(caller: Caller, policy: Policy | None) -> None:
    """Check that a caller may call a route.

    Raises:
        Forbidden: They may not.
    """
    if policy is None:
        raise Forbidden
    if policy.is_for_admins and caller.role != "admin":
        raise Forbidden
    if not holds(caller, policy.scope):
        raise Forbidden(f"The API key is not for {policy.scope}", details={"scope": policy.scope})

"""What one API process counts: requests, deliveries that come in, open streams. Labels are few: paths are of routes."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.route import PREFIX as PREFIX_OF_ROUTES
from app.telemetry.series import PREFIX

UNKNOWN = "unknown"
"""Stands for all paths that are no route's, and all methods that no route has."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class MetricsAccess:
    """Who may read metrics besides administrators."""

    is_open: bool = False
    """Everybody."""
    token: str | None = field(default=None, repr=False)
    """Whoever sends it as a bearer."""

    def lets_in(self, headers: Mapping[str, str]) -> bool:
        """Answer whether whoever sends these headers may read them."""
        if self.is_open:
            return True
        given = headers.get("authorization", "").encode()
        return self.token is not None and hmac.compare_digest(given, f"Bearer {self.token}".encode())


class ApiMetrics:
    """The counts of one API process."""

    def __init__(self, *, open_streams: Callable[[], int]) -> None:
        """Begin at nothing.

        Args:
            open_streams: How many event streams are open.
        """
        self._registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter(
            f"{PREFIX}http_requests", "Requests that were answered.", labels, registry=self._registry
        )
        self._seconds = Histogram(
            f"{PREFIX}http_request_duration_seconds",
            "From the head of a request to the head of its answer.",
            labels[:2],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._webhooks = Counter(
            f"{PREFIX}webhook_deliveries",
            "Deliveries that came in through webhooks, by what became of them.",
            ("outcome",),
            registry=self._registry,
        )
        streams = Gauge(f"{PREFIX}event_streams_open", "Event streams.", registry=self._registry)
        streams.set_function(open_streams)
        ProcessCollector(registry=self._registry)

    def note(self, method: str, route: str, status: int, *, seconds: float) -> None:
        """Count a request."""
        known = method if method in METHODS else UNKNOWN
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)

    def note_webhook(self, outcome: str) -> None:
        """Count a delivery that came in, by what became of it: a word, or the code of the error."""
        self._webhooks.labels(outcome).inc()

    def page(self, facts: Sequence[Metric]) -> bytes:
        """Return all metrics as Prometheus reads them, those of the database among them."""
        shown = CollectorRegistry(auto_describe=False)
        shown.register(self._registry)
        shown.register(_Given(facts))
        return generate_latest(shown)


class _Given(Collector):
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class MeasureRequests:
    """ASGI middleware that counts every request."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                seconds = time.monotonic() - began
                self._metrics.note(scope["method"], route_of(scope), message["status"], seconds=seconds)
            await send(message)

        await self._app(scope, receive, send_counted)


def route_of(scope: Scope) -> str:
    """Return the path of a request with names in place of values: that of its route, when it has found one."""
    path: str | None = getattr(scope.get("route"), "path", None)
    if path is None:
        return UNKNOWN
    # A route does not know the prefix that it was included under.
    has_prefix = scope["path"].startswith(f"{PREFIX_OF_ROUTES}/") and not path.startswith(PREFIX_OF_ROUTES)
    return PREFIX_OF_ROUTES + path if has_prefix else path

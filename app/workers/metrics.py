"""The page on which a worker shows Prometheus what it has counted, with what Temporal's SDK counts in the same process.

The SDK serves its metrics itself, on a port of its own that only this machine reaches; they are read from there, so
that a worker is one target.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from app.errors import Category, PerdureError, Severity
from app.telemetry.series import PREFIX
from app.telemetry.showing import show
from app.telemetry.tallies import Tallies

OF_WORKER = f"{PREFIX}worker_"
"""What one worker has counted is named differently from the sum of all, which the API shows."""
SDK_TIMEOUT_SECONDS = 2.0
_LOOPBACK = "127.0.0.1"

log = structlog.get_logger("app.worker")


class MetricsRefused(PerdureError):
    """The page of metrics cannot be opened."""

    code = "METRICS_REFUSED"
    severity = Severity.HIGH
    category = Category.SYSTEM


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """An open page."""

    port: int
    runtime: Runtime
    """Of the SDK: what is connected with it is measured."""


@contextlib.contextmanager
def metrics_page(tallies: Tallies, *, host: str, port: int) -> Iterator[MetricsPage]:
    """Show metrics while a worker runs.

    Args:
        tallies: What it counts.
        host: Address to listen on.
        port: Port to listen on; 0 means any free one, which the log names.

    Raises:
        MetricsRefused: The port is not free.
    """
    sdk_port = _free_port()
    bind_address = f"{_LOOPBACK}:{sdk_port}"
    metrics = PrometheusConfig(
        bind_address, counters_total_suffix=True, unit_suffix=True, durations_as_seconds=True
    )
    runtime = Runtime(telemetry=TelemetryConfig(metrics=metrics))
    registry = CollectorRegistry()
    registry.register(OwnCounts(tallies))
    registry.register(SdkCounts(sdk_port))
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise MetricsRefused(f"The metrics cannot be shown at {host}:{port}: {error.strerror}") from error
    log.info("worker_metrics", host=host, port=server.server_port)
    try:
        yield MetricsPage(server.server_port, runtime)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class OwnCounts(Collector):
    """What this process has counted."""

    def __init__(self, tallies: Tallies) -> None:
        """Take the counts."""
        self._tallies = tallies

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return show(self._tallies.totals(), prefix=OF_WORKER)


class SdkCounts(Collector):
    """What Temporal's SDK has counted in this process."""

    def __init__(self, port: int) -> None:
        """Take where it says so."""
        self._port = port

    def collect(self) -> Iterable[Metric]:
        """Return it; nothing when it cannot be read, so that the rest is shown nevertheless."""
        connection = http.client.HTTPConnection(_LOOPBACK, self._port, timeout=SDK_TIMEOUT_SECONDS)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            log.warning("sdk_metrics_not_read", reason=type(error).__name__)
            return []
        finally:
            connection.close()
        return list(text_string_to_metric_families(text))

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is changes, and is not asked for before somebody reads."""
        return []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port

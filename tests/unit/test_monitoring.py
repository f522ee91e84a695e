"""The alert rules and the dashboard: they can be read, they fire when they should and are silent when they should."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.activities.contracts.reconciliation import Found
from app.telemetry.series import FINDINGS
from tests.promql import Evaluator, Series, names_in

FOLDER = Path(__file__).resolve().parents[2] / "monitoring"
RULES: Sequence[Mapping[str, Any]] = yaml.safe_load((FOLDER / "perdure.rules.yml").read_text())["groups"][0][
    "rules"
]
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES}
NOW = 15
FLAT = [1.0] * (NOW + 1)


def gauge(name: str, value: float, **labels: str) -> Series:
    return Series(name, labels, [value] * (NOW + 1))


def counter(name: str, per_minute: float, **labels: str) -> Series:
    return Series(name, labels, [per_minute * minute for minute in range(NOW + 1)])


def histogram(name: str, counts: Mapping[str, float], **labels: str) -> list[Series]:
    running, made = 0.0, []
    for bound, count in counts.items():
        running += count
        made.append(counter(f"{name}_bucket", running, le=bound, **labels))
    return made


def ended(failed: float, completed: float) -> list[Series]:
    # Two API processes show the same sums.
    return [
        counter("perdure_executions_total", number, status=status, trigger="api", instance=instance)
        for status, number in (("FAILED", failed), ("COMPLETED", completed))
        for instance in ("a", "b")
    ]


def attempts(failed: float, completed: float) -> list[Series]:
    return [
        counter("perdure_block_calls_total", number, status=status, block="SendWebRequestBlock")
        for status, number in (("RETRYING", failed / 2), ("FAILED", failed / 2), ("COMPLETED", completed))
    ]


def deliveries(retrying: float, delivered: float) -> list[Series]:
    # Two API processes show the same sums.
    return [
        counter(DELIVERED, number, channel="email", outcome=outcome, instance=instance)
        for outcome, number in (("retrying", retrying), ("delivered", delivered))
        for instance in ("a", "b")
    ]


def requests(failed: float, answered: float) -> list[Series]:
    return [
        counter("perdure_http_requests_total", number, status=status, route="/api/graphs")
        for status, number in (("503", failed), ("200", answered))
    ]


def latency(route: str = "/api/graphs", **counts: float) -> list[Series]:
    bounds = {bound.strip("_").replace("_", "."): count for bound, count in counts.items()}
    return histogram("perdure_http_request_duration_seconds", {**bounds, "+Inf": 0}, route=route)


def lag(**counts: float) -> list[Series]:
    bounds = {bound.strip("_"): count for bound, count in counts.items()}
    name = "temporal_activity_schedule_to_start_latency_seconds"
    return histogram(name, {**bounds, "+Inf": 0}, task_queue="perdure")


UP, QUEUE, STUCK = "perdure_up", "perdure_queue_oldest_seconds", "perdure_executions_stuck"
DELIVERED, OVERDUE = "perdure_notification_deliveries_total", "perdure_notification_overdue_seconds"
FOUND, RECONCILED = "perdure_reconciler_findings_total", "perdure_reconciliations_total"
CASES: Mapping[str, tuple[Sequence[Series], Sequence[Series]]] = {
    "PerdureAway": ([], [gauge(UP, 0, service="postgres")]),
    "PerdureServiceAway": ([gauge(UP, 0, service="temporal")], [gauge(UP, 1, service="temporal")]),
    "PerdureNoWorker": (
        [gauge(QUEUE, 301, waits_for="worker")],
        [gauge(QUEUE, 299, waits_for="worker"), gauge(QUEUE, 9_999, waits_for="room")],
    ),
    "PerdureBacklog": (
        [gauge(QUEUE, 3_601, waits_for="room")],
        [gauge(QUEUE, 3_599, waits_for="room"), gauge(QUEUE, 9_999, waits_for="worker")],
    ),
    "PerdureExecutionsStuck": (
        [gauge(STUCK, 1, reason="silent")],
        [gauge(STUCK, 0, reason="silent"), gauge(STUCK, 5, reason="queued")],
    ),
    "PerdureExecutionsFail": (ended(failed=1, completed=1), ended(failed=1, completed=4)),
    "PerdureBlockFails": (attempts(failed=4, completed=2), attempts(failed=2, completed=4)),
    "PerdureReconcilerSilent": ([gauge(RECONCILED, 7)], [counter(RECONCILED, 1)]),
    "PerdureExecutionsLost": ([counter(FOUND, 1, kind="lost")], [counter(FOUND, 1, kind="settled")]),
    "PerdureNotReconciled": ([counter(FOUND, 1, kind="failed")], [gauge(FOUND, 3, kind="failed")]),
    "PerdureDeliveriesGivenUp": (
        [counter(DELIVERED, 1, channel="webhook", outcome="given_up")],
        [
            gauge(DELIVERED, 4, channel="webhook", outcome="given_up"),
            counter(DELIVERED, 1, channel="webhook", outcome="withheld"),
        ],
    ),
    "PerdureDeliveriesFail": (deliveries(retrying=4, delivered=2), deliveries(retrying=2, delivered=4)),
    "PerdureDeliveriesLate": ([gauge(OVERDUE, 901)], [gauge(OVERDUE, 899)]),
    "PerdureRequestsFail": (requests(failed=1, answered=9), requests(failed=1, answered=99)),
    "PerdureRequestsSlow": (latency(_0_5=90, _5_0=10), latency(_0_5=96, _5_0=4)),
    "PerdureWorkflowTasksFail": (
        [counter("temporal_workflow_task_execution_failed_total", 1, workflow_type="GraphExecution")],
        [gauge("temporal_workflow_task_execution_failed_total", 4, workflow_type="GraphExecution")],
    ),
    "PerdureBlocksLag": (lag(_1=90, _60=10), lag(_1=96, _60=4)),
}
"""By alert: series on which it fires, and others on which it does not."""


@pytest.mark.parametrize("alert", EXPRESSIONS)
def test_an_alert_fires_when_it_should_and_then_alone(alert: str) -> None:
    trouble, peace = CASES[alert]
    assert Evaluator(trouble, NOW).of(EXPRESSIONS[alert])
    assert not Evaluator(peace, NOW).of(EXPRESSIONS[alert])


def test_few_failures_alarm_nobody() -> None:
    few = [Series(each.name, each.labels, [value / 15 for value in each.values]) for each in ended(5, 1)]
    assert not Evaluator(few, NOW).of(EXPRESSIONS["PerdureExecutionsFail"])


@pytest.mark.parametrize(
    "route",
    [
        "/api/graphs/{graph_id}/execute",
        "/api/presets/{preset_id}/execute",
        "/api/run/{slug}",
        "/api/mcp",
        "/api/webhooks/{webhook_id}",
        "/api/executions/{execution_id}/events",
        "/api/files",
    ],
)
def test_calls_that_wait_for_an_execution_or_a_file_are_not_slow(route: str) -> None:
    assert not Evaluator(latency(route, _0_5=1, _5_0=99), NOW).of(EXPRESSIONS["PerdureRequestsSlow"])


def test_every_alert_says_what_is_the_matter() -> None:
    guide = (FOLDER.parent / "docs/howto/monitor.md").read_text()
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in guide, rule["alert"]
    assert set(CASES) == set(EXPRESSIONS)


def test_the_dashboard_can_be_read() -> None:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert names_in(target["expr"].replace("$__rate_interval", "5m")), panel["title"]
    # Nothing lies on anything else.
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_what_the_reconciler_finds_is_shown_from_the_beginning() -> None:
    assert set(FINDINGS.known) == {(kind,) for kind in asdict(Found())}

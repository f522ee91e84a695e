"""Counts as Prometheus reads them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from app.models.tallies import Tally
from app.telemetry.series import COUNTED, PREFIX, Series
from app.telemetry.tallies import BEYOND, SUM, Key

_SERIES = {series.name: series for series in COUNTED}


def keyed(tallies: Iterable[Tally]) -> dict[Key, float]:
    """Return counts as they were read, by key."""
    return {
        (tally.name, tuple(json.loads(tally.labels)), tally.bucket): tally.value
        for tally in tallies
        if tally.name in _SERIES
    }


def show(counts: Mapping[Key, float], *, prefix: str = PREFIX) -> Iterator[Metric]:
    """Give the metric of each series, with what was counted of it.

    Args:
        counts: What was counted.
        prefix: Before the name of each.
    """
    by_name: defaultdict[str, defaultdict[tuple[str, ...], dict[str, float]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for (name, labels, bucket), value in counts.items():
        by_name[name][labels][bucket] = value
    for series in COUNTED:
        make = _histogram if series.buckets else _counter
        yield make(series, by_name[series.name], prefix)


def _counter(series: Series, counts: Mapping[tuple[str, ...], Mapping[str, float]], prefix: str) -> Metric:
    family = CounterMetricFamily(prefix + series.name, series.help, labels=series.labels)
    known: dict[tuple[str, ...], Mapping[str, float]] = {labels: {} for labels in series.known}
    for labels, values in sorted({**known, **counts}.items()):
        family.add_metric(labels, values.get("", 0))
    return family


def _histogram(series: Series, counts: Mapping[tuple[str, ...], Mapping[str, float]], prefix: str) -> Metric:
    family = HistogramMetricFamily(prefix + series.name, series.help, labels=series.labels)
    for labels, values in sorted(counts.items()):
        running, buckets = 0.0, []
        for bound in (*map(str, series.buckets), BEYOND):
            running += values.get(bound, 0)
            buckets.append((bound, running))
        family.add_metric(labels, buckets, values.get(SUM, 0))
    return family

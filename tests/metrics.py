"""Pages of metrics, as tests read them."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families


class Page:
    """What stands on a page."""

    def __init__(self, text: str) -> None:
        """Read it."""
        self.text = text
        self.families: Mapping[str, Metric] = {
            family.name: family for family in text_string_to_metric_families(text)
        }

    @property
    def names(self) -> set[str]:
        """Return the names of all series, and of those that a counter or histogram would have."""
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        return {
            family.name + suffix
            for family in self.families.values()
            for suffix in suffixes.get(family.type, ("",))
        }

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of a series over all other labels."""
        return sum(
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def values_of(self, label: str) -> set[str]:
        """Return all values of a label, of whatever series."""
        return {
            sample.labels[label]
            for family in self.families.values()
            for sample in family.samples
            if label in sample.labels
        }

    def labels(self, prefix: str) -> set[str]:
        """Return the names of the labels of all series whose names begin so."""
        return {
            label
            for family in self.families.values()
            if family.name.startswith(prefix)
            for sample in family.samples
            for label in sample.labels
        }

"""Evaluates the part of PromQL that our alerts are written in, on series that a test makes up: one sample a minute."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import promql_parser as promql

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
MINUTE = 60.0
_AGGREGATES: Mapping[str, Callable[[list[float]], float]] = {"sum": math.fsum, "max": max, "min": min}


@dataclass(frozen=True)
class Series:
    """A series: its labels, and what it was at each minute."""

    name: str
    labels: Mapping[str, str]
    values: Sequence[float]


def names_in(expression: str) -> set[str]:
    """Return the names of all metrics in an expression."""
    return {
        str(node.name) for node in _nodes(promql.parse(expression)) if isinstance(node, promql.VectorSelector)
    }


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for part in ("lhs", "rhs", "expr", "vector_selector", "args"):
        inner = getattr(node, part, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None:
                yield from _nodes(each)


class Evaluator:
    """Evaluates expressions as of some minute."""

    def __init__(self, series: Sequence[Series], minute: int) -> None:
        self._series = series
        self._minute = minute

    def of(self, expression: str) -> Vector:
        """Return what an expression gives; nothing of an alert that does not fire."""
        result = self._value(promql.parse(expression))
        assert isinstance(result, dict)
        return result

    def _value(self, node: Any) -> Any:
        match node:
            case promql.NumberLiteral():
                return node.val
            case promql.ParenExpr():
                return self._value(node.expr)
            case promql.VectorSelector():
                return {self._labels(each): each.values[self._minute] for each in self._selected(node)}
            case promql.AggregateExpr():
                return self._aggregate(node)
            case promql.Call():
                return self._call(node)
            case promql.BinaryExpr():
                return _combine(str(node.op), self._value(node.lhs), self._value(node.rhs))
        raise NotImplementedError(type(node).__name__)

    def _selected(self, selector: Any) -> list[Series]:
        return [
            each
            for each in self._series
            if each.name == selector.name
            and len(each.values) > self._minute
            and all(_matches(matcher, each.labels) for matcher in selector.matchers.matchers)
        ]

    @staticmethod
    def _labels(series: Series) -> Labels:
        return frozenset(series.labels.items())

    def _call(self, node: Any) -> Vector:
        name, args = node.func.name, node.args
        if name == "absent":
            return {} if self._value(args[0]) else {frozenset(): 1.0}
        if name == "histogram_quantile":
            return _quantile(self._value(args[0]), self._value(args[1]))
        minutes = int(args[0].range.total_seconds() / MINUTE)
        divisor = {"increase": 1.0, "rate": minutes * MINUTE}[name]
        return {
            self._labels(each): _growth(each.values[max(0, self._minute - minutes) : self._minute + 1])
            / divisor
            for each in self._selected(args[0].vector_selector)
        }

    def _aggregate(self, node: Any) -> Vector:
        kept = re.fullmatch(r"by \((.*)\)", str(node.modifier or "by ()"))
        assert kept, node.modifier
        names = set(kept[1].replace(" ", "").split(","))
        groups: defaultdict[Labels, list[float]] = defaultdict(list)
        for labels, value in self._value(node.expr).items():
            groups[frozenset(label for label in labels if label[0] in names)].append(value)
        combine: Callable[[list[float]], float] = _AGGREGATES[str(node.op)]
        return {labels: combine(values) for labels, values in groups.items()}


def _matches(matcher: Any, labels: Mapping[str, str]) -> bool:
    value, op = labels.get(matcher.name, ""), str(matcher.op)
    is_regex = "Re" in op or "~" in op
    found = bool(re.fullmatch(matcher.value, value)) if is_regex else value == matcher.value
    return found is not ("Not" in op or "!" in op)


def _growth(values: Sequence[float]) -> float:
    return sum(after - before if after >= before else after for before, after in pairwise(values))


def _combine(op: str, left: Any, right: Any) -> Any:
    if op == "and":
        return {labels: value for labels, value in left.items() if labels in right}
    compute: Callable[[float, float], float | None] = {
        ">": lambda a, b: a if a > b else None,
        "==": lambda a, b: a if a == b else None,
        "/": lambda a, b: a / b if b else None,
    }[op]
    pairs = {
        labels: compute(value, right if isinstance(right, float) else right[labels])
        for labels, value in left.items()
        if isinstance(right, float) or labels in right
    }
    return {labels: value for labels, value in pairs.items() if value is not None}


def _quantile(quantile: float, buckets: Vector) -> Vector:
    groups: defaultdict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for labels, value in buckets.items():
        bound = float(dict(labels)["le"].replace("+Inf", "inf"))
        groups[frozenset(label for label in labels if label[0] != "le")].append((bound, value))
    found: Vector = {}
    for labels, pairs in groups.items():
        ordered = sorted(pairs)
        if ordered[-1][1]:
            found[labels] = next(bound for bound, count in ordered if count >= quantile * ordered[-1][1])
    return found

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from app.errors import BlockError, BlockInputInvalid
from tests.unit.blocks.calls import call

ROWS = [{"n": n, "group": "ab"[n % 4 == 0], "weight": n} for n in range(20)]


def sample(**data: Any) -> tuple[list[Any], list[int]]:
    [(first, rows), (second, indices)] = call("DataSamplingBlock", {"data": ROWS, **data})
    assert (first, second) == ("sampled_data", "sample_indices")
    return rows, indices


METHODS: list[dict[str, Any]] = [
    {"sampling_method": "random"},
    {"sampling_method": "systematic"},
    {"sampling_method": "top"},
    {"sampling_method": "bottom"},
    {"sampling_method": "stratified", "stratify_key": "group"},
    {"sampling_method": "weighted", "weight_key": "weight"},
    {"sampling_method": "reservoir"},
    {"sampling_method": "cluster", "cluster_key": "group"},
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["sampling_method"])
@pytest.mark.parametrize("size", [0, 1, 7, 19])
def test_a_sample_has_the_size_asked_for_and_no_row_twice(method: dict[str, Any], size: int) -> None:
    rows, indices = sample(sample_size=size, **method)

    assert len(indices) == len(set(indices)) == size
    assert rows == [ROWS[index] for index in indices]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["sampling_method"])
def test_the_same_inputs_give_the_same_sample(method: dict[str, Any]) -> None:
    assert sample(sample_size=7, **method) == sample(sample_size=7, **method)
    assert sample(sample_size=7, random_seed=1, **method) == sample(sample_size=7, random_seed=1, **method)


def test_another_seed_or_other_data_give_another_sample() -> None:
    samples = {json.dumps(sample(sample_size=7, random_seed=seed)) for seed in range(20)}
    positions = {json.dumps(sample(data=[{"n": n + shift} for n in range(20)])[1]) for shift in range(20)}

    assert len(samples) == 20
    assert len(positions) == 20


def test_the_first_and_the_last_rows() -> None:
    assert sample(sample_size=3, sampling_method="top")[1] == [0, 1, 2]
    assert sample(sample_size=3, sampling_method="bottom")[1] == [17, 18, 19]


def test_a_systematic_sample_keeps_its_distance() -> None:
    indices = sample(sample_size=4, sampling_method="systematic")[1]

    assert {later - earlier for earlier, later in pairwise(indices)} == {5}


def test_a_stratified_sample_has_each_group_in_proportion() -> None:
    rows, _ = sample(sample_size=8, sampling_method="stratified", stratify_key="group")

    assert Counter(row["group"] for row in rows) == {"a": 6, "b": 2}


def test_a_weighted_sample_prefers_heavy_rows() -> None:
    data = [{"w": 1} for _ in range(10)] + [{"w": 1000} for _ in range(10)] + [{"w": 0} for _ in range(10)]
    drawn = Counter[int]()
    for seed in range(20):
        drawn.update(
            sample(data=data, sample_size=5, sampling_method="weighted", weight_key="w", random_seed=seed)[1]
        )

    assert sum(drawn[index] for index in range(10, 20)) > 90
    assert not any(drawn[index] for index in range(20, 30))


def test_a_cluster_sample_takes_whole_groups() -> None:
    data = [{"c": n // 5} for n in range(20)]

    rows, _ = sample(data=data, sample_size=10, sampling_method="cluster", cluster_key="c")

    assert sorted(Counter(row["c"] for row in rows).values()) == [5, 5]


def test_one_dictionary_is_one_row() -> None:
    assert sample(data={"a": 1}, sample_size=1) == ([{"a": 1}], [0])


def test_rows_can_be_lists() -> None:
    assert sample(data=[[1], [2]], sample_size=2, sampling_method="top") == ([[1], [2]], [0, 1])


def test_gathering_in_memory_is_refused_and_says_why() -> None:
    with pytest.raises(BlockError, match="worker's memory"):
        sample(sample_size=1, accumulate=True)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ({"sample_size": 21}, "21 cannot be taken from 20"),
        ({"sample_size": -1}, "cannot be taken"),
        ({"data": []}, "10 cannot be taken from 0"),
        ({"sampling_method": "stratified"}, "needs `stratify_key`"),
        ({"sampling_method": "cluster"}, "needs `cluster_key`"),
        ({"sampling_method": "weighted"}, "needs `weight_key`"),
        ({"sampling_method": "weighted", "weight_key": "group"}, "`weight_key`"),
        ({"sampling_method": "weighted", "weight_key": "zzz"}, "not in every row"),
        ({"sampling_method": "weighted", "weight_key": "weight", "sample_size": 20}, "weight above 0"),
        ({"sampling_method": "cluster", "cluster_key": "zzz"}, "not in every row"),
        ({"sampling_method": "guess"}, "`sampling_method`"),
    ],
)
def test_what_cannot_be_sampled_is_refused(data: dict[str, Any], match: str) -> None:
    with pytest.raises(BlockInputInvalid, match=match):
        sample(**data)

"""The block that takes a sample of rows. Chance is drawn from a seed, so the same inputs give the same sample."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, TypeAlias

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockError, BlockInputInvalid
from app.json_values import identity_of

Row: TypeAlias = dict[Any, Any] | list[Any]


class SamplingMethod(StrEnum):
    """How a sample is taken."""

    RANDOM = "random"
    SYSTEMATIC = "systematic"
    TOP = "top"
    BOTTOM = "bottom"
    STRATIFIED = "stratified"
    WEIGHTED = "weighted"
    RESERVOIR = "reservoir"
    CLUSTER = "cluster"


class DataSamplingBlock(PureBlock):
    """Take a sample of rows.

    Without a seed the chance comes from the inputs themselves: a block that is run again after a crash has to give the
    same sample.
    """

    id = "4a448883-71fa-49cf-91cf-70d793bd7d87"
    categories = (BlockCategory.LOGIC,)

    class Input(BlockInput):
        """The rows and how to choose among them."""

        data: dict[str, Any] | list[dict[Any, Any] | list[Any]]
        """The rows; a dictionary is one row."""
        sample_size: int = 10
        """How many rows to take; not more than there are."""
        sampling_method: SamplingMethod = SamplingMethod.RANDOM
        """random and reservoir: by chance. systematic: at equal distances. top, bottom: the first or last ones.
        stratified: from each group of `stratify_key` in proportion. weighted: by chance in proportion to
        `weight_key`. cluster: whole groups of `cluster_key`, until there are enough."""
        accumulate: bool = False
        """Not supported: has to be false."""
        random_seed: int | None = None
        """The same seed gives the same sample; made from the inputs if null."""
        stratify_key: str | None = None
        """The key that a group has in common."""
        weight_key: str | None = None
        """The key of a row's weight, a number that is not negative."""
        cluster_key: str | None = None
        """The key that a cluster has in common."""

    class Output(BlockOutput):
        """The sample, then where its rows stood."""

        sampled_data: list[dict[Any, Any] | list[Any]]
        """The rows."""
        sample_indices: list[int]
        """Their positions from 0."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the rows, then their positions.

        Raises:
            BlockError: `accumulate` is asked for.
            BlockInputInvalid: The sample is larger than the data, or a key is missing.
        """
        if given.accumulate:
            raise BlockError(
                "`accumulate` is not supported: rows kept in one worker's memory would differ from worker to worker "
                "and be lost with it. Gather them with a list block that is linked to itself"
            )
        rows: list[Row] = [given.data] if isinstance(given.data, dict) else given.data
        if not 0 <= given.sample_size <= len(rows):
            raise BlockInputInvalid(f"A sample of {given.sample_size} cannot be taken from {len(rows)} rows")
        indices = _METHODS[given.sampling_method](given, rows, _chance(given)) if given.sample_size else []
        yield "sampled_data", [rows[index] for index in indices]
        yield "sample_indices", indices


def _chance(given: DataSamplingBlock.Input) -> random.Random:
    seed = given.random_seed
    if seed is None:
        text = json.dumps(given.model_dump(mode="json"), sort_keys=True)
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest())
    # Nothing secret is drawn here, and a sample has to be repeatable.
    return random.Random(seed)  # noqa: S311


def _by_chance(given: DataSamplingBlock.Input, rows: list[Row], chance: random.Random) -> list[int]:
    return chance.sample(range(len(rows)), given.sample_size)


def _at_equal_distances(given: DataSamplingBlock.Input, rows: list[Row], chance: random.Random) -> list[int]:
    distance = len(rows) // given.sample_size
    start = chance.randrange(distance)
    return list(range(start, len(rows), distance))[: given.sample_size]


def _first(given: DataSamplingBlock.Input, rows: list[Row], chance: random.Random) -> list[int]:
    return list(range(given.sample_size))


def _last(given: DataSamplingBlock.Input, rows: list[Row], chance: random.Random) -> list[int]:
    return list(range(len(rows) - given.sample_size, len(rows)))


def _from_each_group(given: DataSamplingBlock.Input, rows: list[Row], chance: random.Random) -> list[int]:
    """Share the sample out by the size of the groups; what rounding leaves over goes to the largest remainders."""
    groups = _groups(rows, "stratify_key", given.stratify_key)
    exact = [len(group) * given.sample_size / len(rows) for group in groups]
    shares = [int(share) for share in exact]
    by_remainder = sorted(range(len(groups)), key=lambda number: shares[number] - exact[number])
    for number in by_remainder[: given.sample_size - sum(shares)]:
        shares[number] += 1
    drawn = [chance.sample(group, share) for group, share in zip(groups, shares, strict=True)]
    return [index for group in drawn for index in group]


def _by_weight(given: DataSamplingBlock.Input, rows: list[Row], chance: random.Random) -> list[int]:
    """Draw without putting back: a row with a larger weight tends to get a larger key (Efraimidis and Spirakis)."""
    weights = [_weight(row, given.weight_key) for row in rows]
    keys = {index: chance.random() ** (1 / weight) for index, weight in enumerate(weights) if weight > 0}
    if len(keys) < given.sample_size:
        raise BlockInputInvalid("Fewer rows have a weight above 0 than the sample is to have")
    return sorted(keys, key=lambda index: keys[index], reverse=True)[: given.sample_size]


def _whole_clusters(given: DataSamplingBlock.Input, rows: list[Row], chance: random.Random) -> list[int]:
    clusters = _groups(rows, "cluster_key", given.cluster_key)
    chance.shuffle(clusters)
    return [index for cluster in clusters for index in cluster][: given.sample_size]


_METHODS: Mapping[
    SamplingMethod, Callable[[DataSamplingBlock.Input, list[Row], random.Random], list[int]]
] = {
    SamplingMethod.RANDOM: _by_chance,
    SamplingMethod.SYSTEMATIC: _at_equal_distances,
    SamplingMethod.TOP: _first,
    SamplingMethod.BOTTOM: _last,
    SamplingMethod.STRATIFIED: _from_each_group,
    SamplingMethod.WEIGHTED: _by_weight,
    # All rows are here, so that drawing from a stream is the same as drawing.
    SamplingMethod.RESERVOIR: _by_chance,
    SamplingMethod.CLUSTER: _whole_clusters,
}


def _groups(rows: list[Row], pin: str, key: str | None) -> list[list[int]]:
    groups: dict[Any, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(identity_of(_value(row, pin, key)), []).append(index)
    return list(groups.values())


def _weight(row: Row, key: str | None) -> float:
    weight = _value(row, "weight_key", key)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or weight < 0:
        raise BlockInputInvalid("`weight_key` has to lead to a number that is not negative in every row")
    return weight


def _value(row: Row, pin: str, key: str | None) -> Any:
    if not key:
        raise BlockInputInvalid(f"This way of sampling needs `{pin}`")
    if not isinstance(row, dict) or key not in row:
        raise BlockInputInvalid(f"`{pin}` names a key that is not in every row")
    return row[key]

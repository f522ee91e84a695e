"""Folded lists of emissions change nothing but where the emissions are meanwhile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.graph.emissions import (
    FOLD_BYTES,
    FOLD_LENGTH,
    FOLDED,
    UNFOLDED_AT_MOST,
    UNFOLDED_BYTES,
    Emission,
    Folded,
    size_of_emission,
    split,
)
from app.graph.envelope import make_reference, size_of
from app.graph.plan import Plan
from app.graph.scheduler import Scheduler
from tests.unit.graph.test_scheduler_properties import LIMIT, bag, sketches
from tests.unit.graph.walking import Sketch, Walk, end, walk


class Folding:
    """Folds at points chosen at random what node executions emit, and unfolds at moments chosen at random."""

    def __init__(self, random: Random, *, is_reborn: bool = False) -> None:
        self._random = random
        self._is_reborn = is_reborn
        self._lists: list[list[Emission]] = []

    def fold(self, emissions: Sequence[Emission]) -> list[Emission]:
        """Return some of the emissions as they are, and the rest in lists, which may be empty or hold further lists."""
        end = self._random.randint(0, len(emissions))
        folded = list(emissions[:end])
        while end < len(emissions):
            start, end = end, self._random.randint(end + 1, len(emissions))
            items = list(emissions[start:end])
            if len(items) > 1 and self._random.random() < 0.2:
                items = self.fold(items)
            self._lists.append(items)
            folded.append([[FOLDED, make_reference(str(len(self._lists) - 1), 1)]])
        return folded

    def remember(self) -> Any:
        """Return where the choices stand, so that they can be made again."""
        return self._random.getstate()

    def recall(self, state: Any) -> None:
        """Make the choices again that followed."""
        self._random.setstate(state)

    def between(self, scheduler: Scheduler, plan: Plan) -> Scheduler:
        """Unfold a few lists, or all when nothing else can go on."""
        if self._is_reborn:
            snapshot = json.loads(json.dumps(scheduler.snapshot()))
            scheduler = Scheduler.restore(plan, snapshot, max_node_executions=LIMIT)
        while folded := scheduler.next_folded():
            is_idle = not (scheduler.running_count or scheduler.has_remote or scheduler.has_wave)
            if not is_idle and self._random.random() < 0.5:
                break
            scheduler.unfold(folded.node, folded.n, self.unfold(folded))
        return scheduler

    def unfold(self, folded: Folded) -> list[Emission]:
        """Return a list."""
        return self._lists[int(folded.envelope[0])]


def folded_walk(sketch: Sketch, seed: int, *, is_reborn: bool = False) -> Walk:
    folding = Folding(Random(seed), is_reborn=is_reborn)
    return walk(sketch, random=Random(seed), limit=LIMIT, between=folding.between, fold=folding.fold)


@given(sketches(is_free_of_races=True), st.integers(0, 2**32))
def test_a_walk_with_folded_lists_does_what_one_without_does(sketch: Sketch, seed: int) -> None:
    plain = walk(sketch, limit=LIMIT)
    if plain.scheduler.is_exhausted:
        return
    folded = folded_walk(sketch, seed)
    assert bag(folded) == bag(plain)
    assert folded.scheduler.is_finished
    assert not folded.scheduler.snapshot()["unreleased"]


@given(sketches(), st.integers(0, 2**32))
def test_a_snapshot_with_folded_lists_continues_identically(sketch: Sketch, seed: int) -> None:
    straight = folded_walk(sketch, seed)
    interrupted = folded_walk(sketch, seed, is_reborn=True)
    assert interrupted.trace == straight.trace
    assert interrupted.scheduler.snapshot() == straight.scheduler.snapshot()


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=300)
) | st.lists(st.text(max_size=20), max_size=9)


@given(VALUES | st.integers(-(10**4_000), 10**4_000))
def test_an_envelope_is_never_larger_than_it_is_said_to_be(value: Any) -> None:
    assert len(json.dumps([value])) <= size_of([value])


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2_000)), max_size=40).map(
        lambda pairs: [[[number, ["x" * length]]] for number, length in pairs for _ in range(number)]
    )
)
def test_emissions_are_split_without_loss_into_pieces_of_bounded_size(emissions: list[Emission]) -> None:
    first, lists = split(emissions)
    assert [*first, *(emission for items in lists for emission in items)] == emissions
    assert_bounded(first, UNFOLDED_AT_MOST, UNFOLDED_BYTES)
    for items in lists:
        assert items
        assert_bounded(items, FOLD_LENGTH, FOLD_BYTES)


def assert_bounded(emissions: Sequence[Emission], length: int, size: int) -> None:
    assert len(emissions) <= length
    assert len(emissions) <= 1 or sum(map(size_of_emission, emissions)) <= size


def test_an_emission_too_large_for_a_piece_is_one_by_itself() -> None:
    large: Emission = [[number, ["x" * 4_000]] for number in range(40)]
    first, lists = split([large, large])
    assert (first, lists) == ([large], [[large]])


def test_lists_of_several_nodes_are_unfolded_in_turn() -> None:
    sketch = Sketch(
        {"a": lambda _: [], "b": lambda _: [], "y": lambda _: []}, ["a.out -> y.p", "b.out -> y.q"]
    )
    _, plan = sketch.compile()
    scheduler = Scheduler(plan, max_node_executions=99)
    scheduler.start()
    for firing in list(iter(scheduler.take_remote, None)):
        scheduler.settle(firing.node, firing.n, [[[FOLDED, make_reference(str(k), 1)]] for k in range(3)])
    order = []
    while folded := scheduler.next_folded():
        order.append(folded.node)
        scheduler.unfold(folded.node, folded.n, [])
        snapshot = json.loads(json.dumps(scheduler.wave_snapshot()))
        scheduler = Scheduler.restore(plan, snapshot, max_node_executions=99)
    assert order == [0, 1, 0, 1, 0, 1]


@given(sketches(), st.integers(0, 2**32), st.data())
def test_a_wave_that_unfolds_and_the_scheduler_that_repeats_it_agree(
    sketch: Sketch, seed: int, data: st.DataObject
) -> None:
    random, folding = Random(seed), Folding(Random(seed))
    local = data.draw(st.sets(st.sampled_from(sorted(sketch.behaviours))))
    graph, plan = replace(sketch, local=frozenset(local)).compile()
    scheduler = Scheduler(plan, max_node_executions=LIMIT)
    scheduler.start()
    while not scheduler.is_finished:
        if scheduler.has_remote and (
            random.random() < 0.5 or not (scheduler.has_wave or scheduler.has_folded)
        ):
            remote = scheduler.take_remote()
            assert remote is not None
            end(sketch, graph, scheduler, remote, fold=folding.fold)
            continue
        snapshot = json.loads(json.dumps(scheduler.wave_snapshot(limit=2)))
        wave = Scheduler.restore(plan, snapshot, max_node_executions=LIMIT)
        for _ in range(4):
            if firing := wave.take_in_wave():
                assert scheduler.take(firing.node, firing.n) == firing
                state = folding.remember()
                end(sketch, graph, wave, firing, fold=folding.fold)
                folding.recall(state)
                end(sketch, graph, scheduler, firing, fold=folding.fold)
            elif folded := wave.next_folded():
                wave.unfold(folded.node, folded.n, folding.unfold(folded))
                scheduler.unfold(folded.node, folded.n, folding.unfold(folded))
            assert (wave.dispatched, wave.is_exhausted) == (scheduler.dispatched, scheduler.is_exhausted)

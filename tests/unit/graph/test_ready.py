"""Nodes take turns, whatever comes back and however often the state is written down."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.graph.packing import PART_CHARACTERS, count_parts, pack, part_of, unpack
from app.graph.ready import Turns

NODES = st.lists(st.integers(0, 4), max_size=40)


def filled(nodes: list[int]) -> Turns:
    turns, counts = Turns(), Counter[int]()
    for node in nodes:
        counts[node] += 1
        turns.put(node, counts[node], {0: [node]})
    return turns


def drained(turns: Turns) -> list[tuple[int, int]]:
    return [turns.take()[:2] for _ in range(len(turns))]


@given(NODES)
def test_each_node_has_its_turn_before_any_has_another(nodes: list[int]) -> None:
    taken = drained(filled(nodes))
    assert Counter(node for node, _ in taken) == Counter(nodes)
    assert [n for _, n in taken] == sorted(n for _, n in taken)
    first = list(dict.fromkeys(nodes))
    assert [node for node, _ in taken[: len(first)]] == first


@given(NODES, st.data())
def test_a_nodes_firings_come_in_their_order_even_when_some_are_put_back(
    nodes: list[int], data: st.DataObject
) -> None:
    turns = filled(nodes)
    done: dict[int, list[int]] = defaultdict(list)
    while turns:
        taken = [turns.take() for _ in range(data.draw(st.integers(1, len(turns))))]
        kept = data.draw(st.integers(1, len(taken)))
        for node, n, _ in taken[:kept]:
            done[node].append(n)
        # As a shard gives back what it has not started: last first.
        for node, n, inputs in reversed(taken[kept:]):
            turns.put_back(node, n, inputs)
    assert done == {node: list(range(1, count + 1)) for node, count in Counter(nodes).items()}


@given(NODES, st.data())
def test_what_is_written_down_comes_back_in_the_same_order(nodes: list[int], data: st.DataObject) -> None:
    turns = filled(nodes)
    for _ in range(data.draw(st.integers(0, len(turns)))):
        turns.take()
    again = Turns()
    again.load(json.loads(json.dumps(turns.dump())))
    assert again.dump() == turns.dump()
    assert len(again) == len(turns)
    assert drained(again) == drained(turns)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_a_packed_document_comes_out_as_it_went_in(document: Any) -> None:
    packed = pack(document)
    assert unpack(part_of(packed, number) for number in range(count_parts(packed))) == document


def test_a_large_document_travels_in_parts_of_bounded_size() -> None:
    document = [hash((k, "x")) for k in range(100_000)]
    packed = pack(document)
    parts = [part_of(packed, number) for number in range(count_parts(packed))]
    assert len(parts) > 1
    assert max(map(len, parts)) <= PART_CHARACTERS
    assert "".join(parts) == packed
    assert unpack(parts) == document

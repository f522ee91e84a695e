"""Graphs of numbers: components in order, levels, cuts, heaviest paths; each against its definition."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.graph.topology import condense, find_cuts

Graph = list[list[int]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Draw a graph, loops and parts that hang together with nothing included."""
    size = draw(st.integers(1, 9))
    nodes = st.integers(0, size - 1)
    links = draw(st.sets(st.tuples(nodes, nodes), max_size=2 * size))
    return [sorted(sink for source, sink in links if source == node) for node in range(size)]


def reach(after: Graph, starts: list[int], without: int = -1) -> set[int]:
    """Return what can be reached, the starts included."""
    seen, todo = set[int](), [node for node in starts if node != without]
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            todo += [other for other in after[node] if other != without]
    return seen


@given(graphs())
def test_components_are_the_nodes_that_reach_one_another_in_an_order_that_can_run(after: Graph) -> None:
    condensed = condense(after)
    place = {node: at for at, each in enumerate(condensed.components) for node in each.nodes}

    assert sorted(place) == list(range(len(after)))
    for node, at in place.items():
        for other, other_at in place.items():
            together = other in reach(after, [node]) and node in reach(after, [other])
            assert (at == other_at) is together
        for other in after[node]:
            assert at == place[other] or place[other] in condensed.after[at]
            assert at <= place[other]
        is_loop = condensed.components[at].is_loop
        assert is_loop is any(node in reach(after, [other]) for other in after[node])


@given(graphs())
def test_a_level_is_one_more_than_the_last_of_those_before(after: Graph) -> None:
    condensed = condense(after)
    levels = condensed.levels()
    for number, level in enumerate(levels):
        before = [levels[other] for other, following in enumerate(condensed.after) if number in following]
        assert level == 1 + max(before, default=-1)


@given(graphs(), st.data())
def test_a_cut_is_a_node_without_which_no_end_is_reached(after: Graph, data: st.DataObject) -> None:
    some = st.sets(st.sampled_from(range(len(after))), min_size=1)
    starts, ends = (sorted(data.draw(some)) for _ in range(2))
    expected = set()
    if reach(after, starts) & set(ends):
        expected = {
            node for node in range(len(after)) if not reach(after, starts, node) & (set(ends) - {node})
        }

    assert set(find_cuts(after, starts, ends)) == expected


@given(graphs(), st.data())
def test_no_path_outweighs_the_heaviest(after: Graph, data: st.DataObject) -> None:
    condensed = condense(after)
    count = len(condensed.components)
    weights = data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))

    def heaviest_from(number: int) -> int:
        return weights[number] + max(map(heaviest_from, condensed.after[number]), default=0)

    path = condensed.heaviest_path(weights)
    assert all(second in condensed.after[first] for first, second in pairwise(path))
    assert sum(weights[number] for number in path) == max(map(heaviest_from, range(count)))

"""What the shape of a graph says: batches, depth, loops, bottlenecks, and what could be better."""

from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.graph.analysis import Analysis, Loop
from app.graph.definition import GraphDefinition, Link, Node
from app.graph.signature import Kind
from app.graph.suggestions import SuggestionCode, suggest
from tests.unit.graph.small_blocks import SIGNATURES, graph, node
from tests.unit.graph.walking import Sketch, walk


def shape(*links: str, alone: str = "") -> Analysis:
    """Analyse nodes that are named by their links, `a -> b.pin`."""
    ends = [[end.strip() for end in link.split("->")] for link in links]
    names = dict.fromkeys([name.partition(".")[0] for pair in ends for name in pair] + list(alone))
    joined = [f"{source}.out -> {sink if '.' in sink else f'{sink}.input'}" for source, sink in ends]
    return Analysis(graph(*map(node, names), *joined), SIGNATURES)


def test_a_diamond_runs_in_three_batches() -> None:
    diamond = shape("a -> b", "a -> c", "b -> d.input", "c -> d.data")

    assert diamond.batches == [["a"], ["b", "c"], ["d"]]
    assert (diamond.max_depth, diamond.width, diamond.parallel_branches) == (3, 2, 2)
    assert diamond.loops == []
    assert diamond.find_bottlenecks() == []


def test_a_node_at_which_all_ways_meet_is_a_bottleneck() -> None:
    found = shape("a -> b", "a -> c", "b -> d.input", "c -> d.data", "d -> e").find_bottlenecks()

    assert [(each.node_id, each.in_degree, each.out_degree) for each in found] == [("d", 2, 1)]


def test_a_chain_has_no_bottleneck() -> None:
    assert shape("a -> b", "b -> c").find_bottlenecks() == []


def test_a_loop_stands_in_one_batch() -> None:
    loop = shape("a -> b", "b -> c", "c -> b", "c -> d")

    assert loop.batches == [["a"], ["b", "c"], ["d"]]
    assert loop.loops == [Loop(("b", "c"), has_exit=True)]
    assert (loop.max_depth, loop.width) == (3, 1)


def test_a_loop_that_waits_for_itself_never_fires() -> None:
    stuck = shape("a -> b.input", "c -> b.data", "b -> c", "b -> d", alone="e")

    assert stuck.never_firing == ["b", "c", "d"]
    assert stuck.batches == [["a", "e"]]
    assert stuck.loops == []


def test_notes_are_no_part_of_it() -> None:
    analysis = Analysis(graph(node("a"), node("n", "note", text="hello")), SIGNATURES)

    assert analysis.batches == [["a"]]
    assert analysis.never_firing == []


def test_a_node_whose_block_is_gone_still_has_its_place() -> None:
    gone = graph(node("a"), Node("b", "no such block"), "a.out -> b.input")

    assert Analysis(gone, SIGNATURES).batches == [["a"], ["b"]]


def test_the_critical_path_is_the_way_that_takes_longest() -> None:
    diamond = shape("a -> b", "a -> c", "b -> d.input", "c -> d.data")

    assert diamond.critical_path({"a": 1, "b": 2, "c": 5, "d": 1}) == (["a", "c", "d"], 7)


def codes(analysis: Analysis, *paid: str) -> dict[SuggestionCode, tuple[str, ...]]:
    return {each.code: each.node_ids for each in suggest(analysis, paid=paid)}


def test_a_small_graph_is_left_alone() -> None:
    assert codes(shape("a -> b"), "b") == {}


def test_large_and_deep_graphs_are_told_so() -> None:
    chain = shape(*(f"n{k} -> n{k + 1}" for k in range(50)))

    assert codes(chain).keys() == {SuggestionCode.SPLIT_INTO_SUB_GRAPHS, SuggestionCode.ADD_PARALLEL_BRANCHES}
    assert codes(shape(*(f"n{k} -> n{k + 1}" for k in range(9)))) == {}


def test_loops_are_told_what_they_cost_and_that_nothing_comes_of_them() -> None:
    loop = shape("a -> b", "b -> c", "c -> b")

    assert codes(loop, "a", "c") == {
        SuggestionCode.LOOP_WITHOUT_EXIT: ("b", "c"),
        SuggestionCode.PAID_IN_LOOP: ("c",),
    }


def test_bottlenecks_and_nodes_that_never_run_are_named() -> None:
    found = codes(shape("a -> b", "a -> c", "b -> d.input", "c -> d.data", "d -> e", "x -> x"))

    assert found == {SuggestionCode.BOTTLENECK: ("d",), SuggestionCode.NEVER_FIRES: ("x",)}


@st.composite
def graphs(draw: st.DrawFn) -> GraphDefinition:
    """Draw a graph, with loops, notes and input nodes."""
    blocks = draw(st.lists(st.sampled_from(["store", "store", "any_input", "note"]), min_size=1, max_size=9))
    nodes = [node(f"n{number}", block) for number, block in enumerate(blocks)]
    ids = st.sampled_from([each.id for each in nodes if each.block_id != "note"] or ["n0"])
    pins = st.sampled_from(["input", "data"])
    links = draw(
        st.lists(st.builds(Link, ids, ids, st.just("out"), pins), max_size=2 * len(nodes), unique=True)
    )
    if all(each.block_id == "note" for each in nodes):
        links = []
    return GraphDefinition(tuple(nodes), tuple(links))


@given(graphs())
def test_batches_hold_every_node_that_can_fire_once_and_no_link_leads_back(drawn: GraphDefinition) -> None:
    analysis = Analysis(drawn, SIGNATURES)
    batch = {node_id: at for at, each in enumerate(analysis.batches) for node_id in each}
    never = set(analysis.never_firing)

    assert sum(map(len, analysis.batches)) == len(batch)
    assert analysis.max_depth == len(analysis.batches)
    assert all(analysis.batches)
    for each in drawn.nodes:
        is_note = SIGNATURES[each.block_id].kind is Kind.NOTE
        assert (each.id in batch) + (each.id in never) + is_note == 1
    loops = {node_id: at for at, loop in enumerate(analysis.loops) for node_id in loop.node_ids}
    for link in drawn.links:
        if link.source_id in batch and link.sink_id in batch:
            inside = link.source_id in loops and loops[link.source_id] == loops.get(link.sink_id)
            assert inside or batch[link.source_id] < batch[link.sink_id]


@given(graphs())
def test_without_a_bottleneck_no_way_leads_from_start_to_end(drawn: GraphDefinition) -> None:
    analysis = Analysis(drawn, SIGNATURES)
    nodes = analysis.graph.nodes
    for bottleneck in analysis.find_bottlenecks():
        left_out = analysis.graph.numbers[bottleneck.node_id]
        seen, todo = {left_out}, [start for start in analysis.starts if start != left_out]
        while todo:
            at = todo.pop()
            if at not in seen:
                seen.add(at)
                todo += [sink for sink in nodes[at].after if analysis.fires[sink]]
        assert not (seen - {left_out}) & set(analysis.ends)


@pytest.mark.parametrize("seed", range(40))
def test_what_can_fire_is_what_fires_when_every_node_emits(seed: int) -> None:
    random = Random(seed)
    names = [f"n{number}" for number in range(random.randint(1, 8))]
    links = {
        f"{random.choice(names)}.out -> {random.choice(names)}.{random.choice('xy')}"
        for _ in range(random.randint(0, 12))
    }
    sketch = Sketch({name: lambda _: [("out", 1)] for name in names}, sorted(links))
    drawn, _ = sketch.compile()
    walked = walk(sketch, limit=200)
    analysis = Analysis(drawn, {})

    never = set(analysis.never_firing)
    assert never == set(names) - set(walked.order)
    condensed = analysis.condensed
    for number, most in enumerate(analysis.graph.most_firings(condensed, analysis.fires)):
        assert most is None or len(walked.of(names[number])) <= most


def test_the_largest_graphs_are_analysed_in_well_under_a_second() -> None:
    random = Random(0)
    nodes = [node(f"n{number}") for number in range(10_000)]
    ends = [random.sample(range(1, 10_000), 2) for _ in range(40_000)]
    links = [Link(f"n{min(pair)}", f"n{max(pair)}", "out", "input") for pair in ends]
    links += [Link(f"n{number}", f"n{number + 1}", "out", "input") for number in range(9_000)]
    links += [Link(f"n{max(pair)}", f"n{min(pair)}", "out", "input") for pair in ends[:50]]
    began = time.process_time()
    analysis = Analysis(GraphDefinition(tuple(nodes), tuple(links)), SIGNATURES)
    suggest(analysis, paid=())
    analysis.critical_path({})
    # Takes half a second; what is quadratic takes minutes.
    assert time.process_time() - began < 10

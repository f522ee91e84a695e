"""Whatever JSON an import is given: it is refused in words, or becomes graphs that can be compiled and exported."""

from __future__ import annotations

import copy
import json
import uuid
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.autogpt.exporting import SavedAgent, write_agent
from app.autogpt.former_names import ADDER, BLOCK_IDS
from app.blocks.registry import make_registry
from app.errors import GraphInvalid
from app.graph.compilation import compile_graph
from app.graph.definition import name_links
from app.graph.interface import input_schema, output_schema
from app.graph.nesting import check_nesting, list_refs
from app.graph.validation import validate_graph
from tests.unit.autogpt.agents import (
    AGENT,
    INPUT,
    NOTE,
    OUTPUT,
    SIGNATURES,
    STORE,
    fixture,
    fixture_names,
    imported,
)

BLOCKS = sorted(block.id for block in make_registry())
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["a", "b", "values_#_x", "x_$_y", "x_$_10001", "{a}", "{{a}}", "<b>", "1e999", "[1", "9" * 400]
    )
)
ANY = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["id", "nodes", "links"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def maybe(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return what is usual, mostly."""
    return st.one_of(usual, usual, usual, usual, ANY)


IDS = st.sampled_from(["a", "b", "c", ""])
PINS = maybe(
    st.sampled_from(
        ["input", "value", "name", "result", "error", "tools", "inputs", "last_tool_output", "bell"]
    )
    | st.builds(
        "{}{}".format, st.sampled_from(["input", "values"]), st.sampled_from(["_#_k", "_$_0", "_$_x", "_@_"])
    )
)
NAMES = st.sampled_from(
    [
        *("name", "value", "input", "format", "values", "model", "prompt", "prompt_values", "operation", "a"),
        *("options", "placeholder_values", "column_headers", "title", "description", "advanced", "secret"),
        *("data", "inputs", "graph_id", "graph_version", "user_id", "nodes_input_masks", "credentials"),
        *("values_#_a", "value_$_0", "b_$_x"),
    ]
)
ALL_IDS = sorted({*BLOCKS, *BLOCK_IDS, ADDER, "pigeon"} | {"agent_executor_block"})


@st.composite
def nodes(draw: st.DrawFn) -> Any:
    known = st.sampled_from(ALL_IDS) | st.sampled_from([AGENT, INPUT, NOTE, OUTPUT, STORE])
    return {
        "id": draw(maybe(IDS)),
        "block_id": draw(maybe(known)),
        "input_default": draw(maybe(st.dictionaries(NAMES, ANY | IDS, max_size=5))),
        "metadata": draw(
            maybe(
                st.dictionaries(
                    st.sampled_from(["missing_block", "former_pins", "set_aside", "retry", "delivery"]),
                    ANY,
                    max_size=3,
                )
            )
        ),
    }


LINKS = st.fixed_dictionaries(
    {
        "id": maybe(IDS),
        "source_id": maybe(IDS),
        "sink_id": maybe(IDS),
        "source_name": PINS,
        "sink_name": PINS,
        "is_static": maybe(st.booleans()),
    }
)


def graphs(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return graphs of a file with what is nested in them."""
    return st.fixed_dictionaries(
        {"id": maybe(IDS), "nodes": maybe(st.lists(maybe(nodes()), max_size=4))},
        optional={
            "links": maybe(st.lists(maybe(LINKS), max_size=5)),
            "name": ANY,
            "description": ANY,
            "version": maybe(st.integers(1, 3)),
            "instructions": ANY,
            "sub_graphs": maybe(st.lists(maybe(below), max_size=2)),
            "subgraphs": maybe(st.dictionaries(IDS, maybe(below), max_size=2)),
            "has_sensitive_action": ANY,
        },
    )


def judge(document: Any) -> None:
    """Import a file; what comes of it must be whole."""
    before = copy.deepcopy(document)
    try:
        agent = imported(document)
    except GraphInvalid:
        return
    assert document == before
    for graph in agent.graphs:
        definition = graph.definition.with_links(name_links(graph.definition.links))
        assert validate_graph(definition, SIGNATURES, is_lenient=True) == {}
        compile_graph(definition, SIGNATURES)
        check_nesting(definition, SIGNATURES, {})
        list_refs(definition, SIGNATURES)
        schemas = [input_schema(definition, SIGNATURES), output_schema(definition, SIGNATURES)]
        json.dumps(schemas, allow_nan=False)
        at = datetime(2026, 1, 1, tzinfo=UTC)
        saved = SavedAgent(
            uuid.UUID(int=1), 1, True, graph.name, graph.description, graph.extras, at, definition, {}
        )
        written = json.dumps(write_agent(saved, [], SIGNATURES, active={}))
        imported(json.loads(written))
    json.dumps([(change.code, change.message) for change in agent.report.changes])


@settings(max_examples=200)
@given(graphs(graphs(st.just({}))))
def test_any_file_is_refused_in_words_or_taken_in(document: Any) -> None:
    judge(document)


@settings(max_examples=100)
@given(st.sampled_from(fixture_names()), st.data())
def test_a_file_with_anything_in_any_place_is_refused_in_words_or_taken_in(
    name: str, data: st.DataObject
) -> None:
    document = fixture(name)
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            inside = place[key]
            if isinstance(inside, dict | list) and inside and data.draw(st.integers(0, 4)):
                place = inside
                continue
            place[key] = data.draw(ANY)
            break
    judge(document)

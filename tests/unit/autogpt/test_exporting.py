"""What goes out in an agent file, what does not, and that an import gives the same graph again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.autogpt.exporting import SavedAgent, write_agent
from app.autogpt.withholding import without_secrets
from app.graph.definition import GraphDefinition, Link, Node, name_links
from app.graph.interface import input_schema, output_schema, recompute_static
from app.graph.validation import validate_graph
from tests.unit.autogpt.agents import (
    AGENT,
    CALCULATOR,
    FILL,
    INPUT,
    NOTE,
    OUTPUT,
    SIGNATURES,
    STORE,
    codes_of,
    fixture,
    fixture_names,
    imported,
    root_of,
)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def saved(definition: GraphDefinition, **fields: Any) -> SavedAgent:
    """Return a graph as it is saved."""
    known: dict[str, Any] = {
        "id": uuid.UUID(int=1),
        "version": 1,
        "is_active": True,
        "name": "An agent",
        "description": "",
        "extras": {},
        "created_at": AT,
        "definition": definition,
        "credentials_input_schema": {},
    }
    return SavedAgent(**known | fields)


def written(definition: GraphDefinition, **fields: Any) -> dict[str, Any]:
    """Return the file of a graph."""
    return write_agent(saved(definition, **fields), [], SIGNATURES, active={})


def graph_of(*nodes: Node, links: tuple[Link, ...] = ()) -> GraphDefinition:
    return recompute_static(GraphDefinition(nodes, name_links(links)), SIGNATURES)


def test_a_file_has_the_fields_of_the_format_and_nothing_of_ours() -> None:
    definition = graph_of(
        Node("in", "agent_input_block", {"name": "x"}, {"position": {"x": 1}, "set_aside": {"gone": 1}}),
        Node("missing", "pigeon", {}, {"missing_block": "Pigeon", "former_pins": {}}),
        links=(Link("in", "missing", "result", "wing"),),
    )
    document = written(definition, extras={"instructions": "Go"}, version=3, is_active=False)
    assert set(document) == {
        *("id", "version", "is_active", "name", "description", "instructions", "recommended_schedule_cron"),
        *("forked_from_id", "forked_from_version", "user_id", "created_at", "nodes", "links", "sub_graphs"),
        *("input_schema", "output_schema", "has_external_trigger", "has_human_in_the_loop"),
        *("has_sensitive_action", "trigger_setup_info", "credentials_input_schema"),
    }
    assert (document["version"], document["is_active"], document["user_id"]) == (3, False, "")
    assert (document["instructions"], document["recommended_schedule_cron"]) == ("Go", None)
    first, second = document["nodes"]
    assert first["block_id"] == INPUT
    assert first["metadata"] == {"position": {"x": 1}}
    assert first["input_default"] == {"name": "x", "gone": 1}
    assert (second["block_id"], second["metadata"]) == ("pigeon", {})
    assert first["output_links"] == second["input_links"] == document["links"]
    assert document["links"][0]["is_static"] is True
    assert document["input_schema"]["required"] == ["x"]
    json.dumps(document)


def test_nodes_of_very_large_graphs_do_not_repeat_their_links() -> None:
    nodes = [Node("a", STORE, {"input": 1}), Node("b", STORE, {"input": 1})]
    for count, copies in ((2_000, 2_000), (2_001, 0)):
        document = written(graph_of(*nodes, links=(Link("a", "b", "output", "data"),) * count))
        first, second = document["nodes"]
        assert (len(first["output_links"]), len(second["input_links"])) == (copies, copies)
        assert len(document["links"]) == count


def test_what_was_set_aside_goes_out_whatever_its_name() -> None:
    aside = {"b_$_x": 1, "my_password": 2, "value_#_a_#_": 3}
    document = written(graph_of(Node("in", INPUT, {"name": "x", "value": 1}, {"set_aside": aside})))
    constants = document["nodes"][0]["input_default"]
    assert constants == {"name": "x", "value": 1, "b_$_x": 1, "value_#_a_#_": 3}


def test_what_a_graph_does_is_said_in_its_file() -> None:
    asking = written(graph_of(Node("a", "human_in_the_loop_block", {"data": 1, "name": "x"})))
    assert (asking["has_human_in_the_loop"], asking["has_external_trigger"]) == (True, False)
    hooked = Node("a", "8fa8c167-2002-47ce-aba8-97572fc5d387", {}, {"missing_block": "x"})
    assert written(graph_of(hooked))["has_external_trigger"] is True


SECRET = "canary-4711"


@pytest.mark.parametrize(
    "constants",
    [
        {"credentials": {"id": SECRET}},
        {"my_API_KEY": SECRET},
        {"page_token": SECRET},
        {"values": {"deep": [{"password": SECRET, "kept": 1}]}},
        {"values_#_api_key": SECRET},
        {"client_secret": {"kept": SECRET}},
        {"Passwords": 4711},
        {"max_tokens": SECRET},
        {"headers": {"Authorization": f"Bearer {SECRET}", "Set-Cookie": SECRET, "X-Api-Key": SECRET}},
        {"apiKey": SECRET, "private-key": SECRET, "passphrase": SECRET, "ftp passwd": SECRET},
        {"url": f"https://user:{SECRET}@example.org/", "text": [f"see ftp://:{SECRET}@x and {{{{a}}}}"]},
    ],
)
def test_what_is_named_like_a_secret_stays(constants: dict[str, Any]) -> None:
    kept = without_secrets(Node("a", "pigeon", constants), None)
    assert SECRET not in json.dumps(kept)
    assert "4711" not in json.dumps(kept)


def test_switches_and_the_length_of_answers_are_no_secrets() -> None:
    constants = {"secret": True, "has_token": False, "max_tokens": 500, "other": 1}
    assert without_secrets(Node("a", "pigeon", constants), None) == constants


def test_the_value_of_a_secret_input_stays() -> None:
    for block in (INPUT, "agent_short_text_input_block"):
        node = Node("in", block, {"name": "x", "secret": True, "value": {"a": SECRET}, "value_#_a": SECRET})
        document = written(graph_of(node))
        assert SECRET not in json.dumps(document)
        assert document["nodes"][0]["input_default"] == {"name": "x", "secret": True}
    shown = Node("in", INPUT, {"name": "x", "secret": False, "value": "shown"})
    assert written(graph_of(shown))["nodes"][0]["input_default"]["value"] == "shown"


def test_an_input_that_is_named_like_a_secret_is_one() -> None:
    node = Node("in", INPUT, {"name": "api_token", "value": SECRET})
    document = written(graph_of(node))
    assert SECRET not in json.dumps(document)
    assert document["nodes"][0]["input_default"] == {"name": "api_token"}


@pytest.mark.parametrize("version", [1, None])
def test_what_a_node_gives_to_a_secret_input_of_a_nested_graph_stays(version: int | None) -> None:
    child = saved(
        graph_of(Node("in", INPUT, {"name": "pin", "secret": True}), Node("b", INPUT, {"name": "b"})),
        id=uuid.UUID(int=7),
    )
    constants = {"graph_id": str(child.id), "graph_version": version, "inputs": {"pin": SECRET, "b": 2}}
    node = Node("call", AGENT, constants, {"set_aside": {"inputs": {"pin": SECRET}, "pin": SECRET}})
    document = write_agent(saved(graph_of(node)), [child], SIGNATURES, active={child.id: 1})
    assert SECRET not in json.dumps(document)
    assert document["nodes"][0]["input_default"]["inputs"] == {"b": 2}


def test_what_a_block_declares_as_secret_stays_whatever_its_name() -> None:
    query = Node("query", "sql_query_block", {"host": "db.of.mine", "database": "sales", "query": "SELECT 1"})
    [node] = written(graph_of(query))["nodes"]
    assert node["input_default"] == {"database": "sales", "query": "SELECT 1"}


def test_metadata_that_is_named_like_a_secret_stays() -> None:
    metadata = {"position": {"x": 1}, "api_key": SECRET, "deep": [{"password": SECRET}], "token_shown": True}
    document = written(graph_of(Node("a", STORE, {"input": 1}, metadata)))
    assert document["nodes"][0]["metadata"] == {"position": {"x": 1}, "deep": [{}], "token_shown": True}


def test_placeholders_in_an_address_are_no_password() -> None:
    constants = {"url": "https://{{user}}:{{word}}@example.org", "other": "http://host:80/a@b"}
    assert without_secrets(Node("a", STORE, constants), None) == constants


def test_nested_graphs_go_out_beside_the_graph_and_are_named_with_version_and_schemas() -> None:
    child_id = uuid.UUID(int=7)
    inner = graph_of(Node("in", INPUT, {"name": "api_token"}), Node("out", OUTPUT, {"name": "y"}))
    child = saved(inner, id=child_id, version=4, name="Child")
    named = Node("a", AGENT, {"graph_id": str(child_id), "user_id": "somebody", "inputs": {"api_token": "x"}})
    other = Node("b", AGENT, {"graph_id": str(uuid.UUID(int=9)), "graph_version": 1})
    document = write_agent(saved(graph_of(named, other)), [child], SIGNATURES, active={child_id: 4})
    constants = document["nodes"][0]["input_default"]
    assert (constants["graph_id"], constants["graph_version"]) == (str(child_id), 4)
    assert constants["input_schema"]["required"] == ["api_token"]
    assert "user_id" not in constants
    assert constants["inputs"] == {}
    assert [each["name"] for each in document["sub_graphs"]] == ["Child"]
    assert document["nodes"][1]["input_default"] == dict(other.input_default)


@pytest.mark.parametrize("name", fixture_names())
def test_what_an_import_made_comes_out_and_in_again_unchanged(name: str) -> None:
    first = written_again(fixture(name))
    second = written_again(first)
    assert comparable(second) == comparable(first)


def written_again(document: Mapping[str, Any]) -> dict[str, Any]:
    """Import a file and export what came of it."""
    agent = imported(document)
    agents = {
        graph.id: saved(
            graph.definition, id=graph.id, name=graph.name, description=graph.description, extras=graph.extras
        )
        for graph in agent.graphs
    }
    root = agents.pop(agent.graph_id)
    return write_agent(root, list(agents.values()), SIGNATURES, active={})


def comparable(document: Mapping[str, Any]) -> str:
    """Return a file as text, with names in place of the ids that an import makes."""
    sub_graphs = sorted(document["sub_graphs"], key=lambda sub: str(sub["name"]))
    text = json.dumps({**document, "sub_graphs": sub_graphs})
    for graph in (document, *sub_graphs):
        text = text.replace(graph["id"], graph["name"])
    return text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab{} ", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xy", min_size=1), inner, max_size=3),
    max_leaves=6,
)
BLOCKS: Mapping[str, Any] = {
    INPUT: st.fixed_dictionaries(
        {"value": JSON, "advanced": st.booleans(), "title": st.none() | st.text("t")}
    ),
    OUTPUT: st.fixed_dictionaries({"format": st.sampled_from(["", "{{ x }}", "{x}"])}),
    STORE: st.fixed_dictionaries({"input": JSON.filter(lambda value: value is not None), "data": JSON}),
    CALCULATOR: st.fixed_dictionaries(
        {"operation": st.just("Add"), "a": st.just("3"), "b": st.integers(0, 9)}
    ),
    FILL: st.fixed_dictionaries({"format": st.just("{k} {{l}}"), "values": st.just({"k": 1})}),
    NOTE: st.fixed_dictionaries({"text": st.text("n", max_size=3)}),
    "create_dictionary_block": st.just({"values": {"k": 1}, "values_#_l": 2}),
}
METADATA = st.fixed_dictionaries({"position": st.just({"x": 1, "y": 2.5})}) | st.just(
    {"delivery": "at_most_once"}
)


@st.composite
def definitions(draw: st.DrawFn) -> GraphDefinition:
    """Make a graph that may be saved: of these blocks, with any links between their pins."""
    kinds = [STORE, *draw(st.lists(st.sampled_from(sorted(BLOCKS)), max_size=6))]
    nodes = [
        Node(
            f"n{number}",
            block,
            draw(BLOCKS[block]) | ({"name": f"name {number}"} if block in (INPUT, OUTPUT) else {}),
            draw(METADATA),
        )
        for number, block in enumerate(kinds)
    ]
    linkable = [node for node in nodes if node.block_id != NOTE]
    links = []
    for _ in range(draw(st.integers(0, 8))):
        source, sink = draw(st.sampled_from(linkable)), draw(st.sampled_from(linkable))
        if sink is nodes[0]:
            continue
        gives, takes = SIGNATURES.get(source.block_id), SIGNATURES.get(sink.block_id)
        assert gives is not None
        assert takes is not None
        name = draw(st.sampled_from(sorted(gives.outputs))) + draw(st.sampled_from(["", "_#_part", "_$_0"]))
        pins = sorted(set(takes.inputs) - ({"name"} if takes.kind in ("input", "output") else set()))
        links.append(
            Link(source.id, sink.id, name, draw(st.sampled_from(pins)), is_static=draw(st.booleans()))
        )
    return graph_of(*nodes, links=tuple(links))


@settings(max_examples=150)
@given(definitions())
def test_an_export_is_imported_as_the_same_graph(definition: GraphDefinition) -> None:
    assert validate_graph(definition, SIGNATURES) == {}
    agent = imported(json.loads(json.dumps(written(definition))))
    again = root_of(agent).definition
    assert codes_of(agent) == []
    assert [(node.id, node.input_default, node.metadata) for node in again.nodes] == [
        (node.id, node.input_default, node.metadata) for node in definition.nodes
    ]
    assert again.links == definition.links
    for schema in (input_schema, output_schema):
        assert schema(again, SIGNATURES) == schema(definition, SIGNATURES)

"""What an import makes of old, odd and half-broken agent files, and what it tells of it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from app.autogpt.former_names import BLOCK_IDS
from app.autogpt.report import MAX_CHANGES, Code
from app.errors import GraphInvalid
from app.graph.compilation import compile_graph
from app.graph.definition import GraphDefinition, name_links
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
    agent,
    codes_of,
    fixture,
    fixture_names,
    imported,
    link,
    node,
    nodes_of,
    root_of,
)

DROPDOWN = "655d6fdf-a334-421c-b733-520549c07cd1"
COMBINE = "e30a4d42-7b7d-4e6a-b36e-1f9b8e3b7d85"
TEXT_GENERATOR = "1f292d4a-41a4-4977-9684-7c8d560b9f91"
ADDER = "aeb08fc1-2fc1-4141-bc8e-f758f183a812"
ORCHESTRATOR = "3b191d9f-356f-482d-8238-ba04b6d18381"
PIGEON = "5b1e0d53-0f8d-4b6f-9a3e-2f6a1c0e7d44"


def problems_of(definition: GraphDefinition) -> Any:
    named = definition.with_links(name_links(definition.links))
    return validate_graph(named, SIGNATURES, is_lenient=True)


@pytest.mark.parametrize("name", fixture_names())
def test_every_fixture_becomes_graphs_that_can_be_compiled(name: str) -> None:
    for graph in imported(fixture(name)).graphs:
        assert problems_of(graph.definition) == {}
        compile_graph(graph.definition, SIGNATURES)


@pytest.mark.parametrize(("old", "now"), BLOCK_IDS.items())
def test_ids_that_blocks_had_once_are_replaced(old: str, now: str) -> None:
    read = imported(agent(node("a", old)))
    assert nodes_of(read)["a"].block_id == now
    assert "block_id_replaced" in codes_of(read)


def test_the_old_adder_becomes_that_of_lists_or_of_dictionaries() -> None:
    read = imported(
        agent(
            node("list", ADDER, entry=1),
            node("dictionary", ADDER, key="k"),
            node("linked", ADDER),
            "list.updated_list -> linked.dictionary",
        )
    )
    made = {id: SIGNATURES.get(each.block_id) for id, each in nodes_of(read).items()}
    assert {id: block.name for id, block in made.items() if block} == {
        "list": "AddToListBlock",
        "dictionary": "AddToDictionaryBlock",
        "linked": "AddToDictionaryBlock",
    }


def test_links_of_static_blocks_become_static_and_others_stay_what_they_are() -> None:
    read = imported(
        agent(
            node("in", INPUT, name="x"),
            node("sum", CALCULATOR, operation="Add", b=1),
            node("out", OUTPUT, name="y"),
            link("in.result -> sum.a"),
            link("sum.result -> out.value", is_static=True),
            link("sum.error -> out.value", is_static=None),
        )
    )
    assert [each.is_static for each in root_of(read).definition.links] == [True, True, False]


def test_templates_in_single_braces_are_rewritten_where_a_value_is_given_for_them() -> None:
    read = imported(
        agent(
            node("s", input=1),
            node("fill", FILL, format='{name} {{"a": {rest}}', **{"values_#_name": 1}),
            node("old", FILL, format="{ name }, {linked} and {neither}", values={"name": 1}),
            node("any", FILL, format="{whatever} {not a name}"),
            node("out", OUTPUT, name="poem", format="<{poem}> {other}"),
            node(
                "llm", TEXT_GENERATOR, prompt="{topic}", sys_prompt="As {topic}", prompt_values={"topic": "x"}
            ),
            "s.output -> old.values_#_linked",
            "s.output -> any.values",
        )
    )
    made = {id: each.input_default for id, each in nodes_of(read).items()}
    assert made["fill"]["format"] == '{name} {{"a": {rest}}'
    assert made["old"]["format"] == "{{name}}, {{linked}} and {neither}"
    assert made["any"]["format"] == "{{whatever}} {not a name}"
    assert made["out"]["format"] == "<{{poem}}> {other}"
    assert (made["llm"]["prompt"], made["llm"]["sys_prompt"]) == ("{{topic}}", "As {{topic}}")


def test_a_template_that_has_statements_is_one_of_today() -> None:
    text = "{% if who %}Dear {who}{% endif %}"
    read = imported(agent(node("f", FILL, format=text, values={"who": "Ada"})))
    assert nodes_of(read)["f"].input_default["format"] == text
    assert "template_rewritten" not in codes_of(read)


def test_an_output_whose_name_comes_over_a_link_is_given_none() -> None:
    read = imported(agent(node("s", input="x"), node("out", OUTPUT), "s.output -> out.name"))
    assert "name" not in nodes_of(read)["out"].input_default
    assert "name_changed" not in codes_of(read)


def test_links_of_tools_are_links_to_pins_that_there_are() -> None:
    boss = node("boss", ORCHESTRATOR, prompt="p")
    read = imported(agent(boss, node("sum", CALCULATOR, operation="Add"), "boss.tools_^_sum_~_a -> sum.a"))
    assert "pin_missing" not in codes_of(read)
    assert len(root_of(read).definition.links) == 1


def test_files_of_today_have_no_old_templates() -> None:
    read = imported(agent(node("fill", FILL, format="{x}", values={"x": 1}), has_sensitive_action=False))
    assert nodes_of(read)["fill"].input_default["format"] == "{x}"


def test_constants_that_were_renamed_get_their_new_names() -> None:
    read = imported(
        agent(
            node("a", DROPDOWN, name="a", placeholder_values=["x"]),
            node("b", DROPDOWN, name="b", placeholder_values=["old"], options=["new"]),
            node("c", AGENT, graph_id=str(uuid.uuid4()), data={"x": 1}),
            node("d", COMBINE, input1="one", input2="two"),
            node("s", input=1),
            "s.output -> d.input3",
        )
    )
    made = nodes_of(read)
    assert made["a"].input_default == {"name": "a", "options": ["x"]}
    assert made["b"].input_default == {"name": "b", "options": ["new"]}
    assert made["b"].metadata == {"set_aside": {"placeholder_values": ["old"]}}
    assert made["c"].input_default["inputs"] == {"x": 1}
    assert made["d"].input_default == {"input_$_0": "one", "input_$_1": "two"}
    assert root_of(read).definition.links[0].sink_name == "input_$_2"


def test_constants_that_no_input_takes_are_set_aside() -> None:
    read = imported(
        agent(
            node("in", INPUT, name="x", placeholder_values=["a"], extra=None),
            node("bad", CALCULATOR, **{"operation": "Add", "a": "3", "b_$_x": 1}),
            node("clash", FILL, format="", values="text", **{"values_#_x": 1}),
        )
    )
    made = nodes_of(read)
    assert made["in"].input_default == {"name": "x"}
    assert made["in"].metadata["set_aside"] == {"placeholder_values": ["a"], "extra": None}
    assert made["bad"].input_default == {"operation": "Add", "a": "3"}
    assert made["clash"].metadata["set_aside"] == {"values_#_x": 1}
    assert codes_of(read) == ["constant_set_aside"] * 3


def test_credentials_of_another_installation_are_not_taken_over() -> None:
    given = {"id": str(uuid.uuid4()), "provider": "openai", "type": "api_key"}
    read = imported(
        agent(
            node("llm", TEXT_GENERATOR, prompt="x", model="gpt-4o", credentials=given),
            node("gone", PIGEON, loft_credentials=given, credentials=None),
        )
    )
    assert all(
        not any("credentials" in name for name in each.input_default) for each in nodes_of(read).values()
    )
    assert codes_of(read).count("credentials_removed") == 2


def test_a_model_that_nobody_is_known_to_serve_is_kept_and_told_of() -> None:
    read = imported(agent(node("llm", TEXT_GENERATOR, prompt="x", model="oracle-9")))
    assert nodes_of(read)["llm"].input_default["model"] == "oracle-9"
    assert codes_of(read) == ["model_unknown"]


def test_a_node_of_an_unknown_block_is_marked_and_told_of_by_name() -> None:
    read = imported(
        agent(
            node("gone", PIGEON, feathers=3),
            node("known", "25310c70-b89b-43ba-b25c-4dfa7e2a481c"),
            node("forged", STORE, input=1) | {"metadata": {"missing_block": "Store", "set_aside": {"a": 1}}},
            "gone.landing -> forged.input",
        )
    )
    made = nodes_of(read)
    assert made["gone"].metadata == {"missing_block": PIGEON}
    assert made["forged"].metadata == {}
    missing = {each.node_id: (each.block_id, each.name) for each in read.report.missing_blocks}
    assert missing["gone"] == (PIGEON, None)
    assert problems_of(root_of(read).definition) == {}


def test_links_to_pins_that_a_block_has_no_more_stay() -> None:
    read = imported(
        agent(
            node("s", input=1),
            node("c", CALCULATOR),
            node("end"),
            "s.output -> c.bell",
            "c.sound -> end.data",
            "s.output -> c.a",
        )
    )
    assert nodes_of(read)["c"].metadata["former_pins"] == {"inputs": ["bell"], "outputs": ["sound"]}
    assert codes_of(read) == ["pin_missing"] * 2
    assert len(root_of(read).definition.links) == 3


def test_links_that_lead_nowhere_are_left_out() -> None:
    read = imported(
        agent(
            node("s", input=1),
            node("note", NOTE, text="x"),
            "s.output -> nowhere.input",
            "nowhere.output -> s.input",
            "s.output -> note.text",
            "s.output -> s.input_$_x",
            {"sink_id": "s", "source_id": "s", "source_name": None, "sink_name": "input"},
            {"sink_id": 5},
        )
    )
    assert root_of(read).definition.links == ()
    assert codes_of(read) == ["link_removed"] * 6


def test_missing_ids_are_made_and_doubled_ones_of_links_replaced() -> None:
    read = imported(
        agent(
            node("s", input=1),
            node("", input=2),
            node("s", input=3),
            link("s.output -> s.data", id="one"),
            link("s.output -> s.input", id="one"),
            link("s.output -> s.input", id=None),
        )
    )
    assert [each.input_default["input"] for each in root_of(read).definition.nodes] == [1, 2, 3]
    assert "" not in nodes_of(read)
    assert [each.id for each in root_of(read).definition.links] == ["one", "", ""]
    assert codes_of(read) == ["id_made"] * 3


@pytest.mark.parametrize("block", [INPUT, OUTPUT])
@pytest.mark.parametrize("constants", [{}, {"name": None}, {"name": " "}, {"name": 5}])
def test_run_inputs_and_outputs_without_a_name_get_one(block: str, constants: dict[str, Any]) -> None:
    read = imported(agent(node("a", block, **constants)))
    assert nodes_of(read)["a"].input_default["name"] == ("input" if block == INPUT else "output")
    assert codes_of(read) == ["name_changed"]


def test_a_reserved_name_of_an_input_is_changed() -> None:
    read = imported(agent(node("a", INPUT, name="my_credentials"), node("b", OUTPUT, name="my_credentials")))
    assert [each.input_default["name"] for each in nodes_of(read).values()] == [
        "my_credentials_input",
        "my_credentials",
    ]


def test_settings_that_cannot_be_are_left_out_of_the_metadata() -> None:
    given = {"retry": 3, "timeout_seconds": "soon", "delivery": "at_most_once", "position": {"x": 1}}
    read = imported(agent(node("a", STORE, input=1) | {"metadata": given}))
    assert nodes_of(read)["a"].metadata == {"delivery": "at_most_once", "position": {"x": 1}}
    assert codes_of(read) == ["metadata_removed"] * 2


def test_names_and_descriptions_are_cleaned_cut_and_made() -> None:
    read = imported(
        agent(
            node("a", input=1),
            name="n" * 120,
            description="d" * 1_200,
            instructions=" Go ",
            forked_from_version=0,
        ),
        clean=lambda text: text.replace("n", "").strip() or text.strip()[:101],
    )
    graph = root_of(read)
    assert (len(graph.name), len(graph.description)) == (100, 1_000)
    assert codes_of(read) == ["name_changed", "description_shortened"]
    assert graph.extras == {"instructions": "Go"}
    unnamed = imported(agent(node("a", input=1), name=None, description=None))
    assert (root_of(unnamed).name, root_of(unnamed).description) == ("Imported agent", "")


def test_nothing_that_starts_is_told_of_and_no_reason_to_refuse() -> None:
    read = imported(agent(node("a"), node("b"), "a.output -> b.input", "b.output -> a.input"))
    assert codes_of(read) == ["no_start"]
    assert problems_of(root_of(read).definition) == {}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"nodes": None},
        {"nodes": []},
        {"nodes": {}},
        {"nodes": [5]},
        {"nodes": [{"id": "a"}]},
        {"nodes": [{"id": "a", "block_id": 5}]},
        {"nodes": [{"id": "a" * 501, "block_id": STORE}]},
        {"nodes": [node("a")] * 10_001},
        {"nodes": [node("a")], "links": [{}] * 50_001},
        {"nodes": [node("a")], "sub_graphs": [{"id": str(n), "nodes": [node("a")]} for n in range(501)]},
    ],
)
def test_what_is_no_graph_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(GraphInvalid):
        imported(document)


def test_a_report_ends_before_it_is_too_long_to_be_sent() -> None:
    document = agent(node("a", STORE, input=1)) | {"links": [0] * 6_000, "sub_graphs": [[]] * 6_000}
    report = imported(document).report
    assert len(report.changes) == MAX_CHANGES + 1
    assert report.changes[-1].code == "more_changes"
    assert [change.code for change in report.changes].count(Code.LINK_REMOVED) == 4_000

from __future__ import annotations

import re
from uuid import UUID

import pytest

from app.blocks.base import PureBlock, RemoteBlock, TimerBlock
from app.blocks.library.basic import NoteBlock, StoreValueBlock
from app.blocks.library.web import SendWebRequestBlock
from app.blocks.registry import BlockRegistry, make_registry
from app.errors import NotFound
from app.graph.signature import Effect, Kind, Lane

AUTOGPT_IDS = {
    "AgentInputBlock": "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b",
    "AgentShortTextInputBlock": "7fcd3bcb-8e1b-4e69-903d-32d3d4a92158",
    "AgentLongTextInputBlock": "90a56ffb-7024-4b2b-ab50-e26c5e5ab8ba",
    "AgentNumberInputBlock": "96dae2bb-97a2-41c2-bd2f-13a3b5a8ea98",
    "AgentDateInputBlock": "7e198b09-4994-47db-8b4d-952d98241817",
    "AgentTimeInputBlock": "2a1c757e-86cf-4c7e-aacf-060dc382e434",
    "AgentFileInputBlock": "95ead23f-8283-4654-aef3-10c053b74a31",
    "AgentDropdownInputBlock": "655d6fdf-a334-421c-b733-520549c07cd1",
    "AgentToggleInputBlock": "cbf36ab5-df4a-43b6-8a7f-f7ed8652116e",
    "AgentTableInputBlock": "5603b273-f41e-4020-af7d-fbc9c6a8d928",
    "AgentGoogleDriveFileInputBlock": "d3b32f15-6fd7-40e3-be52-e083f51b19a2",
    "AgentOutputBlock": "363ae599-353e-4804-937e-b2ee3cef3da4",
    "StoreValueBlock": "1ff065e9-88e8-4358-9d82-8dc91f622ba9",
    "UniversalTypeConverterBlock": "95d1b990-ce13-4d88-9737-ba5c2070c97b",
    "NoteBlock": "cc10ff7b-7753-4ff2-9af6-9399b1a7eddc",
    "FileStoreBlock": "cbb50872-625b-42f0-8203-a2ae78242d8a",
    "ReverseListOrderBlock": "422cb708-3109-4277-bfe3-bc2ae5812777",
    "PrintToConsoleBlock": "f3b1c1b2-4c4f-4f0d-8d2f-4c4f0d8d2f4c",
    "ConditionBlock": "715696a0-e1da-45c8-b209-c2fa9c3b0be6",
    "IfInputMatchesBlock": "6dbbc4b3-ca6c-42b6-b508-da52d23e13f2",
    "StepThroughItemsBlock": "f66a3543-28d3-4ab5-8945-9b336371e2ce",
    "CalculatorBlock": "b1ab9b19-67a6-406d-abf5-2dba76d00c79",
    "CountItemsBlock": "3c9c2f42-b0c3-435f-ba35-05f7a25c772a",
    "DataSamplingBlock": "4a448883-71fa-49cf-91cf-70d793bd7d87",
    "FillTextTemplateBlock": "db7d8f02-2f44-4c55-ab7a-eae0941f0c30",
    "CombineTextsBlock": "e30a4d42-7b7d-4e6a-b36e-1f9b8e3b7d85",
    "TextSplitBlock": "d5ea33c8-a575-477a-b42f-2fe3be5055ec",
    "TextReplaceBlock": "7e7c87ab-3469-4bcc-9abe-67705091b713",
    "MatchTextPatternBlock": "3060088f-6ed9-4928-9ba7-9c92823a7ccd",
    "ExtractTextInformationBlock": "3146e4fe-2cdd-4f29-bd12-0c9d5bb4deb0",
    "FileReadBlock": "3735a31f-7e18-4aca-9e90-08a7120674bc",
    "WordCharacterCountBlock": "ab2a782d-22cf-4587-8a70-55b59b3f9f90",
    "TextEncoderBlock": "5185f32e-4b65-4ecf-8fbb-873f003f09d6",
    "TextDecoderBlock": "2570e8fe-8447-43ed-84c7-70d657923231",
    "CodeExtractionBlock": "d3a7d896-3b78-4f44-8b4b-48fbf4f0bcd8",
    "CreateDictionaryBlock": "b924ddf4-de4f-4b56-9a85-358930dcbc91",
    "AddToDictionaryBlock": "31d1064e-7446-4693-a7d4-65e5ca1180d1",
    "FindInDictionaryBlock": "0e50422c-6dee-4145-83d6-3a5a392f65de",
    "RemoveFromDictionaryBlock": "46afe2ea-c613-43f8-95ff-6692c3ef6876",
    "ReplaceDictionaryValueBlock": "27e31876-18b6-44f3-ab97-f6226d8b3889",
    "DictionaryIsEmptyBlock": "a3cf3f64-6bb9-4cc6-9900-608a0b3359b0",
    "CreateListBlock": "a912d5c7-6e00-4542-b2a9-8034136930e4",
    "AddToListBlock": "aeb08fc1-2fc1-4141-bc8e-f758f183a822",
    "FindInListBlock": "5e2c6d0a-1e37-489f-b1d0-8e1812b23333",
    "GetListItemBlock": "262ca24c-1025-43cf-a578-534e23234e97",
    "RemoveFromListBlock": "d93c5a93-ac7e-41c1-ae5c-ef67e6e9b826",
    "ReplaceListItemBlock": "fbf62922-bea1-4a3d-8bac-23587f810b38",
    "ListIsEmptyBlock": "896ed73b-27d0-41be-813c-c1c1dc856c03",
    "ConcatenateListsBlock": "3cf9298b-5817-4141-9d80-7c2cc5199c8e",
    "FlattenListBlock": "cc45bb0f-d035-4756-96a7-fe3e36254b4d",
    "InterleaveListsBlock": "9f616084-1d9f-4f8e-bc00-5b9d2a75cd75",
    "ZipListsBlock": "0d0e684f-5cb9-4c4b-b8d1-47a0860e0c07",
    "ListDifferenceBlock": "05309873-9d61-447e-96b5-b804e2511829",
    "ListIntersectionBlock": "b6eb08b6-dbe3-411b-b9b4-2508cb311a1f",
    "XMLParserBlock": "286380af-9529-4b55-8be0-1d7c854abdb5",
    "ReadSpreadsheetBlock": "acf7625e-d2cb-4941-bfeb-2819fc6fc015",
    "GetCurrentTimeBlock": "a892b8d9-3e4e-4e9c-9c1e-75f8efcf1bfa",
    "GetCurrentDateBlock": "b29c1b50-5d0e-4d9f-8f9d-1b0e6fcbf0b1",
    "GetCurrentDateAndTimeBlock": "716a67b3-6760-42e7-86dc-18645c6e00fc",
    "CountdownTimerBlock": "d67a9c52-5e4e-11e2-bcfd-0800200c9a71",
    "HumanInTheLoopBlock": "8b2a7b3c-6e9d-4a5f-8c1b-2e3f4a5b6c7d",
    "AITextGeneratorBlock": "1f292d4a-41a4-4977-9684-7c8d560b9f91",
    "AgentExecutorBlock": "e189baac-8c20-45a1-94a7-55177ea42565",
    "SendWebRequestBlock": "6595ae1f-b924-42cb-9a41-551a0611c4b4",
}
SLUGS = {
    "text_input_block",
    "llm_call_block",
    "text_processing_block",
    "file_operation_block",
    "conditional_block",
}

REGISTRY = make_registry()
BLOCKS = [pytest.param(block, id=block.name) for block in REGISTRY]


@pytest.mark.parametrize(("name", "block_id"), AUTOGPT_IDS.items())
def test_a_block_of_an_exported_agent_is_found_by_its_id(name: str, block_id: str) -> None:
    assert REGISTRY.require(block_id).name == name


@pytest.mark.parametrize("slug", sorted(SLUGS))
def test_a_block_with_a_plain_name_is_found_by_it(slug: str) -> None:
    assert REGISTRY.require(slug).signature.slug == slug


def test_a_block_is_found_by_uuid_in_any_case_by_slug_and_by_class_name() -> None:
    block = REGISTRY.require("StoreValueBlock")

    assert REGISTRY.get(block.id) is block
    assert REGISTRY.get(block.id.upper()) is block
    assert REGISTRY.get("store_value_block") is block
    assert REGISTRY.signatures.get("store_value_block") is block.signature


def test_an_unknown_block_is_none_or_refused() -> None:
    assert REGISTRY.get("nothing") is None
    assert REGISTRY.signatures.get("nothing") is None
    with pytest.raises(NotFound):
        REGISTRY.require("nothing")


def test_two_blocks_with_one_name_are_refused() -> None:
    class Impostor(StoreValueBlock):
        """Another block under a known id."""

    with pytest.raises(ValueError, match="both called"):
        BlockRegistry([StoreValueBlock(), Impostor()])


def test_the_order_is_always_the_same() -> None:
    assert [block.name for block in make_registry()] == [block.name for block in REGISTRY]
    assert len(REGISTRY) == len({block.id for block in REGISTRY})


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_says_what_it_is(block: PureBlock | RemoteBlock | TimerBlock) -> None:
    assert str(UUID(block.id)) == block.id
    assert re.fullmatch(r"[a-z][a-z0-9_]*", block.signature.slug)
    assert block.description.endswith(".")
    assert block.categories
    assert block.signature.outputs or block.gives_any_output
    assert block.Input.__doc__
    assert block.Output.__doc__


@pytest.mark.parametrize("block", BLOCKS)
def test_the_pins_of_a_block_have_a_json_schema(block: PureBlock | RemoteBlock | TimerBlock) -> None:
    inputs = block.Input.model_json_schema(mode="validation")
    outputs = block.Output.model_json_schema(mode="serialization")

    assert set(inputs.get("properties", {})) == set(block.signature.inputs)
    assert set(inputs.get("required", [])) == set(block.signature.required)
    assert set(outputs.get("properties", {})) == set(block.Output.model_fields)


@pytest.mark.parametrize("block", BLOCKS)
def test_inputs_and_outputs_of_a_graph_have_no_error_pin_and_are_static(
    block: PureBlock | RemoteBlock | TimerBlock,
) -> None:
    signature = block.signature
    is_edge = signature.kind in (Kind.INPUT, Kind.OUTPUT)

    assert ("error" in signature.outputs) is not is_edge
    assert signature.is_static or not is_edge


def test_a_pure_block_is_carried_locally_and_a_clock_is_not() -> None:
    assert REGISTRY.require("StoreValueBlock").signature.lane is Lane.LOCAL
    clock = REGISTRY.require("GetCurrentTimeBlock").signature
    assert (clock.lane, clock.effect) == (Lane.REMOTE, Effect.PURE)
    assert NoteBlock().signature.kind is Kind.NOTE


def test_a_web_request_that_only_reads_has_no_effect() -> None:
    block = SendWebRequestBlock()
    assert [block.effect_of({"method": method}) for method in ("GET", "head", "POST", "DELETE", None)] == [
        Effect.PURE,
        Effect.PURE,
        Effect.UNKEYED,
        Effect.UNKEYED,
        Effect.UNKEYED,
    ]

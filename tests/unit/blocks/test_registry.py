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

SLUGS = {
    "text_input_block",
    "llm_call_block",
    "text_processing_block",
    "file_operation_block",
    "conditional_block",
}

REGISTRY = make_registry()
BLOCKS = [pytest.param(block, id=block.name) for block in REGISTRY]


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

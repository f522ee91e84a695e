"""Calls blocks as the engine does: bind, validate, run, check."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from app.blocks.base import PureBlock, RemoteBlock
from app.blocks.calling import check_output, prepare, run_pure
from app.blocks.context import BlockContext
from app.blocks.registry import make_registry
from app.errors import BlockError
from tests.unit.blocks.contexts import make_context

REGISTRY = make_registry()


def call(
    name: str, data: Mapping[str, Any], constants: Mapping[str, Any] | None = None
) -> list[tuple[str, Any]]:
    """Return everything a block emits, as it comes out of the database."""
    block = REGISTRY.require(name)
    assert isinstance(block, PureBlock)
    emitted = run_pure(block, prepare(block, data, constants or {}))
    return [(pin, json.loads(json.dumps(value, allow_nan=False))) for pin, value in emitted]


async def call_remote(
    name: str, data: Mapping[str, Any], context: BlockContext | None = None
) -> list[tuple[str, Any]]:
    """Return everything a remote block emits, as it comes out of the database."""
    block = REGISTRY.require(name)
    assert isinstance(block, RemoteBlock)
    emitted = block.run(prepare(block, data, {}), context or make_context())
    return [
        (pin, json.loads(json.dumps(check_output(block, pin, value), allow_nan=False)))
        async for pin, value in emitted
    ]


def case(sentence: str, name: str, data: Mapping[str, Any], *emitted: tuple[str, Any]) -> Any:
    """One row: what goes in, and exactly what comes out in which order."""
    return pytest.param(name, data, list(emitted), id=f"{name}: {sentence}")


def refusal(
    sentence: str, name: str, data: Mapping[str, Any], error: type[BlockError], match: str | None = None
) -> Any:
    """One row: what goes in, and how it is refused."""
    return pytest.param(name, data, error, match, id=f"{name}: {sentence}")

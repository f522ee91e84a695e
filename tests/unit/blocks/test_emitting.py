"""A block that may emit several values on the same pin says so: estimates count on the others to emit one at most."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest

from app.blocks.base import Block, TimerBlock
from app.blocks.registry import make_registry

REGISTRY = make_registry()
ENDS_WITH_IT = {"AITextSummarizerBlock"}
"""Those whose loop ends with the value that it emits."""


def emits_in_a_loop(block: Block) -> bool:
    """Answer whether a loop in the block's code emits on a pin that is always the same."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(type(block))))
    return any(
        isinstance(emitted.value, ast.Tuple) and isinstance(emitted.value.elts[0], ast.Constant)
        for loop in ast.walk(tree)
        if isinstance(loop, ast.For | ast.AsyncFor | ast.While)
        for emitted in ast.walk(loop)
        if isinstance(emitted, ast.Yield)
    )


@pytest.mark.parametrize("block", list(REGISTRY), ids=lambda block: block.name)
def test_a_block_that_emits_in_a_loop_says_that_it_emits_many(block: Block) -> None:
    assert block.signature.emits_many or not emits_in_a_loop(block) or block.name in ENDS_WITH_IT


@pytest.mark.parametrize(
    "ref", ["StepThroughItemsBlock", "OrchestratorBlock", "AgentExecutorBlock", "FirecrawlCrawlBlock"]
)
def test_those_that_emit_one_value_after_the_other_are_known(ref: str) -> None:
    assert REGISTRY.require(ref).signature.emits_many


def test_timers_go_round() -> None:
    timers = [block for block in REGISTRY if isinstance(block, TimerBlock)]
    assert timers
    assert all(block.signature.emits_many for block in timers)

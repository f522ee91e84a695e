"""Which pools a worker serves, and how many blocks at once."""

from __future__ import annotations

import pytest

from app.blocks.base import BlockCategory, RemoteBlock
from app.blocks.registry import BLOCK_CLASSES, BlockRegistry, make_registry
from app.fairness import make_priority
from app.pools import PoolUnknown, choose_pools, queue_of, share_out
from app.workers.tuning import cached_executions

KNOWN = frozenset({"llm", "browser"})


def test_a_worker_serves_every_pool_unless_told_otherwise() -> None:
    assert choose_pools(KNOWN, []) == ("default", "browser", "llm")
    assert choose_pools(KNOWN, ["llm"]) == ("llm",)
    assert choose_pools(KNOWN, ["llm", "default", "llm"]) == ("default", "llm")


def test_a_pool_that_no_block_names_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(PoolUnknown, match="no pool 'lml'; the pools are default, browser, llm"):
        choose_pools(KNOWN, ["llm", "lml"])


def test_the_common_pool_is_the_task_queue_itself() -> None:
    assert queue_of("perdure", "") == queue_of("perdure", "default") == "perdure"
    assert queue_of("perdure", "llm") == "perdure-llm"


def test_what_is_said_of_one_pool_wins_over_what_is_said_of_all() -> None:
    pools = ("default", "llm")
    assert share_out(pools, [], usual=100) == {"default": 100, "llm": 100}
    assert share_out(pools, [("llm", 5), ("", 50)], usual=100) == {"default": 50, "llm": 5}
    with pytest.raises(PoolUnknown, match="serves no pool 'browser'"):
        share_out(pools, [("browser", 1)], usual=100)


def test_blocks_that_ask_a_language_model_are_a_pool_of_their_own() -> None:
    registry = make_registry()
    assert registry.pools == {"llm"}
    assert {block.name for block in registry if block.pool} == {
        block.name for block in registry if BlockCategory.AI in block.categories
    }


@pytest.mark.parametrize("name", ["default", "LLM", "a-b", "", "x" * 41])
def test_a_pool_has_a_plain_name_of_its_own(name: str) -> None:
    class Odd(RemoteBlock):
        """A block in an oddly named pool."""

        id = "6f4f0d0e-9f7b-4f0e-8a39-3d0b3ad9a001"
        pool = name

        def run(self, given: object, context: object) -> None:  # type: ignore[override]  # it is never run
            """Do nothing."""

    make = [*(make_block() for make_block in BLOCK_CLASSES), Odd()]
    if name:
        with pytest.raises(ValueError, match="cannot be called"):
            BlockRegistry(make)
    else:
        assert BlockRegistry(make).pools == {"llm"}


def test_more_memory_keeps_more_executions_up_to_a_bound() -> None:
    gigabyte = 1 << 30
    assert [cached_executions(size) for size in (gigabyte // 8, gigabyte, 4 * gigabyte, 64 * gigabyte)] == [
        100,
        256,
        1024,
        2000,
    ]


def test_a_users_share_is_told_apart_whatever_the_length_of_the_id() -> None:
    assert make_priority("alice", 2).fairness_key == "alice"
    assert make_priority("alice", 2).priority_key == 2
    keys = {make_priority("ü" * 40 + str(number)).fairness_key for number in range(3)}
    assert len(keys) == 3
    assert {len(str(key).encode()) for key in keys} == {64}

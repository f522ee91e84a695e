"""What many ask for at the same moment is read once, and nobody gets what was read before they asked."""

from __future__ import annotations

import asyncio

import pytest

from app.api.shared_reads import SharedReads


class Source:
    """Something that changes, and is read slowly."""

    def __init__(self) -> None:
        self.value = 0
        self.reads: list[str] = []
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def read(self, key: str) -> int:
        self.reads.append(key)
        value = self.value
        self.begun.set()
        await self.may_end.wait()
        if key == "broken":
            raise LookupError
        return value


async def test_those_who_ask_together_share_one_read() -> None:
    source = Source()
    source.may_end.set()
    shared = SharedReads(source.read)
    assert await asyncio.gather(*(shared.get(key) for key in "aabba")) == [0] * 5
    assert sorted(source.reads) == ["a", "b"]


async def test_who_asks_while_a_read_is_under_way_gets_a_later_one() -> None:
    source = Source()
    shared = SharedReads(source.read)
    early = asyncio.create_task(shared.get("a"))
    await source.begun.wait()
    source.value = 1
    late = asyncio.create_task(shared.get("a"))
    source.may_end.set()
    assert (await early, await late) == (0, 1)


async def test_who_stops_waiting_stops_it_for_nobody_else() -> None:
    source = Source()
    shared = SharedReads(source.read)
    first, second = [asyncio.create_task(shared.get("a")) for _ in range(2)]
    await source.begun.wait()
    first.cancel()
    source.may_end.set()
    assert await second == 0
    assert source.reads == ["a"]


async def test_an_error_is_everybodys_and_the_next_read_is_another() -> None:
    source = Source()
    source.may_end.set()
    shared = SharedReads(source.read)
    results = await asyncio.gather(*(shared.get("broken") for _ in range(2)), return_exceptions=True)
    assert [type(result) for result in results] == [LookupError] * 2
    with pytest.raises(LookupError):
        await shared.get("broken")
    assert source.reads == ["broken"] * 2

"""What one rendering may spend: steps, characters and processor time. Nothing is known of templates here."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2.runtime import Undefined

from app.errors import BlockError, BlockLimitExceeded

MAX_TEXT_CHARACTERS = 1_000_000
"""The most that a rendering, or any text made on the way, may hold."""
MAX_STEPS = 100_000
"""Turns of loops, calls, filters and operators."""
MAX_MADE_CHARACTERS = 20_000_000
"""All texts and lists that are made on the way, added up."""
MAX_CPU_SECONDS = 2.0
_STEPS_PER_LOOK_AT_THE_CLOCK = 100

_CONTAINERS: tuple[type[Any], ...] = (list, tuple, dict, type({}.items()), type({}.keys()), type({}.values()))


class Budget:
    """What is left to one rendering. Every method raises BlockLimitExceeded when it is too little."""

    def __init__(self) -> None:
        self._steps = MAX_STEPS
        self._characters = MAX_MADE_CHARACTERS
        self._deadline = time.thread_time() + MAX_CPU_SECONDS

    def step(self) -> None:
        """Spend one step."""
        self._steps -= 1
        if self._steps < 0:
            raise BlockLimitExceeded(f"The template takes more than {MAX_STEPS:,} steps")
        if self._steps % _STEPS_PER_LOOK_AT_THE_CLOCK == 0:
            self._look_at_the_clock()

    def make(self, characters: int) -> None:
        """Spend what a text of that many characters, or a list of that many elements, takes."""
        if characters > MAX_TEXT_CHARACTERS:
            raise BlockLimitExceeded(
                f"The template makes a text of more than {MAX_TEXT_CHARACTERS:,} characters"
            )
        self._characters -= characters
        if self._characters < 0:
            raise BlockLimitExceeded("The template makes too many large texts")
        if characters > MAX_TEXT_CHARACTERS // 100:
            self._look_at_the_clock()

    def counted(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the items, spending one step on each."""
        for item in items:
            self.step()
            yield item

    def measure(self, value: Any) -> int:
        """Spend what the text of a value takes, before it is made.

        Returns:
            The length of that text, never less than it will be.

        Raises:
            BlockError: The value is of a kind that has no text worth showing.
        """
        size = len(value) if isinstance(value, str) else self._size_of(value)
        self.make(size)
        return size

    def _size_of(self, value: Any) -> int:
        waiting, size = [value], 0
        while waiting and size <= MAX_TEXT_CHARACTERS:
            item = waiting.pop()
            if isinstance(item, str):
                # Inside a container a text is written with quotes and escapes.
                size += (1 if item.isalnum() and item.isascii() else 10) * len(item) + 4
            elif isinstance(item, _CONTAINERS):
                size += 24
                waiting.extend(item)
                if isinstance(item, dict):
                    waiting.extend(item.values())
                self.make(len(item))
            elif isinstance(item, int):
                size += item.bit_length() // 3 + 4
            elif item is None or isinstance(item, (float, range, Undefined)):
                size += 64
            else:
                raise BlockError("The template writes something that is not a value")
        return size

    def _look_at_the_clock(self) -> None:
        if time.thread_time() > self._deadline:
            raise BlockLimitExceeded(f"The template takes more than {MAX_CPU_SECONDS:g} seconds")


_CURRENT: ContextVar[Budget] = ContextVar("template_budget")


@contextmanager
def spending() -> Iterator[Budget]:
    """Open a budget for what is rendered inside."""
    budget = Budget()
    token = _CURRENT.set(budget)
    try:
        yield budget
    finally:
        _CURRENT.reset(token)


def current_budget() -> Budget:
    """Return the budget of the rendering that is going on."""
    return _CURRENT.get()

"""Blocks that turn JSON text into values and back, and put dictionaries together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NoReturn

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockError, BlockLimitExceeded
from app.json_values import MAX_DEPTH

_FENCED = re.compile(r"\A```[A-Za-z]*\s*\n(.*)\n\s*```\Z", re.DOTALL)


class ParseJsonBlock(PureBlock):
    """Read a JSON text, as a language model or a web page gave it, into a value."""

    id = "7666a03c-f431-4d81-8f2c-156acd80e692"
    categories = (BlockCategory.DATA,)

    class Input(BlockInput):
        """The text."""

        text: str
        """JSON; spaces and a fenced code block around it do not matter."""

    class Output(BlockOutput):
        """The value."""

        value: Any
        """What the text says."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the value.

        Raises:
            BlockError: The text is not JSON; the message says where it stops being so.
            BlockLimitExceeded: It is nested too deep.
        """
        text = given.text.strip()
        fenced = _FENCED.match(text)
        try:
            yield "value", json.loads(fenced[1] if fenced else text, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            raise BlockError(
                f"The text is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
            ) from None
        except RecursionError:
            raise BlockLimitExceeded("The text is nested too deep") from None


class ToJsonBlock(PureBlock):
    """Write a value as JSON text."""

    id = "17c703aa-293e-4eb4-9667-9dfbb3ed0ea4"
    categories = (BlockCategory.DATA,)

    class Input(BlockInput):
        """The value, and how to write it."""

        value: Any
        """Anything."""
        indent: Annotated[int, Field(ge=0, le=10)] = 0
        """Spaces that each level stands further to the right; 0 for one line."""
        sort_keys: bool = False
        """Whether keys are put in order."""

    class Output(BlockOutput):
        """The text."""

        text: str
        """JSON."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the text."""
        yield (
            "text",
            json.dumps(
                given.value, indent=given.indent or None, sort_keys=given.sort_keys, ensure_ascii=False
            ),
        )


class MergeDictionariesBlock(PureBlock):
    """Put several dictionaries into one. Of entries with the same key the last one stays."""

    id = "7d1413b0-ef67-49da-affe-ede8fb595fbf"
    categories = (BlockCategory.DATA,)

    class Input(BlockInput):
        """The dictionaries."""

        dictionaries: list[dict[str, Any]]
        """In the order in which they are laid over each other, often one link each: `dictionaries_$_0`."""
        deep: bool = False
        """Whether dictionaries under the same key are put together too, instead of the last one staying."""

    class Output(BlockOutput):
        """The dictionary."""

        dictionary: dict[str, Any]
        """All entries."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the dictionary.

        Raises:
            BlockLimitExceeded: They are nested too deep.
        """
        merged: dict[str, Any] = {}
        for dictionary in given.dictionaries:
            merged = _merged(merged, dictionary, MAX_DEPTH) if given.deep else merged | dictionary
        yield "dictionary", merged


def _merged(below: Mapping[str, Any], above: Mapping[str, Any], levels: int) -> dict[str, Any]:
    if levels == 0:
        raise BlockLimitExceeded("The dictionaries are nested too deep")
    return {**below} | {
        key: _merged(below[key], value, levels - 1)
        if isinstance(value, dict) and isinstance(below.get(key), dict)
        else value
        for key, value in above.items()
    }


def _refuse_constant(name: str) -> NoReturn:
    raise BlockError(f"The text is not JSON: {name} is no number in it")

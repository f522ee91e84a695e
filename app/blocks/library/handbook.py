"""Blocks that go by a plain name: a text input, text processing, file operations and a condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from pydantic import ConfigDict

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.blocks.library.files import TEXT_MEDIA_TYPE, open_file
from app.errors import BlockError, BlockInputInvalid
from app.files.data_uris import make_data_uri
from app.graph.signature import Kind
from app.templating.templates import is_true


class TextInputBlock(PureBlock):
    """Every input of the run, each on an output pin of its own name."""

    id = "3dbd6c88-114f-40f8-943b-8e37ac4ea235"
    slug = "text_input_block"
    categories = (BlockCategory.INPUT,)
    kind = Kind.INPUT
    is_static = True
    takes_any_input = True
    gives_any_output = True

    class Input(BlockInput):
        """The inputs of the run, by name."""

        model_config = ConfigDict(extra="allow")

    class Output(BlockOutput):
        """A pin for each input of the run that is not null."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit each input on the pin of its name."""
        for name, value in (given.model_extra or {}).items():
            if value is not None:
                yield name, value


class TextOperation(StrEnum):
    """What can be done with a text."""

    UPPER = "upper"
    LOWER = "lower"
    TITLE = "title"
    CAPITALIZE = "capitalize"
    STRIP = "strip"
    REVERSE = "reverse"
    LENGTH = "length"
    WORD_COUNT = "word_count"
    LINE_COUNT = "line_count"


_TEXT_OPERATIONS: Mapping[TextOperation, Callable[[str], str | int]] = {
    TextOperation.UPPER: str.upper,
    TextOperation.LOWER: str.lower,
    TextOperation.TITLE: str.title,
    TextOperation.CAPITALIZE: str.capitalize,
    TextOperation.STRIP: str.strip,
    TextOperation.REVERSE: lambda text: text[::-1],
    TextOperation.LENGTH: len,
    TextOperation.WORD_COUNT: lambda text: len(text.split()),
    TextOperation.LINE_COUNT: lambda text: len(text.splitlines()),
}


class TextProcessingBlock(PureBlock):
    """Do one thing with a text: change its case, trim it, turn it round, count."""

    id = "1ff67c4d-e0ca-4c83-bdcd-539100dbcf8d"
    slug = "text_processing_block"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """A text and what to do with it."""

        text: str
        """The text."""
        operation: TextOperation
        """What to do."""

    class Output(BlockOutput):
        """The result, twice."""

        result: Any
        """A text, or a number when something is counted."""
        text: str
        """The result as a text."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the result, then the result as a text."""
        result = _TEXT_OPERATIONS[given.operation](given.text)
        yield "result", result
        yield "text", str(result)


class FileOperation(StrEnum):
    """What can be done with a file."""

    READ = "read"
    WRITE = "write"


class FileOperationBlock(PureBlock):
    """Read the text in a file, or make a file of a text.

    A file is a data URI that travels in the graph. There is no disk to read from or write to: a path or a URL is
    refused.
    """

    id = "645195d7-27ec-4307-9112-234020620d86"
    slug = "file_operation_block"
    categories = (BlockCategory.BASIC, BlockCategory.DATA)

    class Input(BlockInput):
        """What to do, and with what."""

        operation_type: FileOperation
        """`read` takes `file` and gives `content`; `write` takes `content` and gives `file`."""
        file: str = ""
        """The file to read, as a data URI."""
        content: str = ""
        """The text to write."""

    class Output(BlockOutput):
        """What came of it."""

        content: str
        """The text in the file, when reading."""
        file: str
        """The file as a data URI, when writing."""
        size: int
        """The bytes in the file."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the text or the file, then its size.

        Raises:
            BlockError: The file is not a data URI, is broken, or is too large.
        """
        if given.operation_type is FileOperation.WRITE:
            written = given.content.encode()
            yield "file", open_file("content", make_data_uri(written, TEXT_MEDIA_TYPE)).source
            yield "size", len(written)
            return
        if not given.file:
            raise BlockInputInvalid("`file` is needed for reading")
        file = open_file("file", given.file)
        if not file.media_type:
            raise BlockError("`file` is not a data URI: there is no disk to read a path from")
        yield "content", file.decode()
        yield "size", len(file.content)


class ConditionalBlock(PureBlock):
    """Answer a condition over the inputs of this block, and send a value down one of two branches.

    A condition is an expression such as `score > 5 and name != ""`: names of inputs, numbers, texts in quotes, lists,
    `== != < <= > >= in`, `and or not`, `+ - * / // % **`, and the tests and filters of Jinja (`name is defined`,
    `name|length > 3`).
    """

    id = "32be073d-7e2d-407f-a677-0f822039497d"
    slug = "conditional_block"
    categories = (BlockCategory.LOGIC,)
    takes_any_input = True

    class Input(BlockInput):
        """A condition, and every further input by its name."""

        model_config = ConfigDict(extra="allow")

        condition: str
        """The expression, at most 2,000 characters."""
        value: Any = None
        """What the branches carry; can be used in the condition too."""
        true_value: Any = None
        """What goes out when it holds; `value` if null."""
        false_value: Any = None
        """What goes out when it does not hold; `value` if null."""

    class Output(BlockOutput):
        """The answer, then one of the branches."""

        result: bool
        """Whether the condition holds."""
        true: Any
        """Only when it holds: the value, or true if there is none."""
        false: Any
        """Only when it does not hold: the value, or false if there is none."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the answer, then the branch.

        Raises:
            BlockInputInvalid: The condition is not an expression.
            BlockError: It uses a name that has no value, or compares what has no order.
        """
        names = (given.model_extra or {}) | {"value": given.value}
        holds = is_true(given.condition, names)
        yield "result", holds
        branches = (given.true_value, given.value, True) if holds else (given.false_value, given.value, False)
        yield str(holds).lower(), next(value for value in branches if value is not None)

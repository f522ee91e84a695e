"""Blocks that build, cut and count texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from app.templating.templates import render

MAX_TEXT_CHARACTERS = 10_000_000
MAX_PARTS = 100_000


class FillTextTemplateBlock(PureBlock):
    """Fill values into a text by a Jinja template: `{{name}}`, loops and conditions."""

    id = "db7d8f02-2f44-4c55-ab7a-eae0941f0c30"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """A template and its values."""

        values: dict[str, Any]
        """What the template can use, by name."""
        format: str
        """The template. A name without a value gives nothing."""
        escape_html: bool = False
        """Whether the text is HTML, so that values are escaped."""

    class Output(BlockOutput):
        """The text."""

        output: str
        """The template with the values in it."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the text.

        Raises:
            BlockError: The template is wrong, asks for what is not allowed, or takes too much.
        """
        yield "output", render(given.format, given.values, escape_html=given.escape_html)


class CombineTextsBlock(PureBlock):
    """Join several texts into one."""

    id = "e30a4d42-7b7d-4e6a-b36e-1f9b8e3b7d85"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """The texts."""

        input: list[str]
        """The texts in order."""
        delimiter: str = ""
        """What is put between two of them."""

    class Output(BlockOutput):
        """The text."""

        output: str
        """All texts in one."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the joined text.

        Raises:
            BlockLimitExceeded: It would be too long.
        """
        _require_size(sum(map(len, given.input)) + len(given.delimiter) * len(given.input))
        yield "output", given.delimiter.join(given.input)


class TextSplitBlock(PureBlock):
    """Cut a text into pieces at a delimiter."""

    id = "d5ea33c8-a575-477a-b42f-2fe3be5055ec"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """A text and where to cut it."""

        text: str
        """The text; an empty one gives no pieces."""
        delimiter: str
        """What stands between two pieces; not empty."""
        strip: bool = True
        """Whether to take white space off the ends of each piece."""

    class Output(BlockOutput):
        """The pieces."""

        texts: list[str]
        """In order, without the delimiter."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the pieces.

        Raises:
            BlockInputInvalid: The delimiter is empty.
            BlockLimitExceeded: There are more than 100,000 pieces.
        """
        if not given.text:
            yield "texts", []
            return
        if not given.delimiter:
            raise BlockInputInvalid("`delimiter` is empty")
        if given.text.count(given.delimiter) >= MAX_PARTS:
            raise BlockLimitExceeded(f"The text falls into more than {MAX_PARTS:,} pieces")
        pieces = given.text.split(given.delimiter)
        yield "texts", [piece.strip() for piece in pieces] if given.strip else pieces


class TextReplaceBlock(PureBlock):
    """Replace every occurrence of a text in another."""

    id = "7e7c87ab-3469-4bcc-9abe-67705091b713"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """What to replace, by what, and where."""

        text: str
        """Where to replace."""
        old: str
        """What to replace."""
        new: str
        """What comes in its place."""

    class Output(BlockOutput):
        """The new text."""

        output: str
        """The text with every occurrence replaced."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the new text.

        Raises:
            BlockLimitExceeded: It would be too long.
        """
        growth = given.text.count(given.old) * max(0, len(given.new) - len(given.old))
        _require_size(len(given.text) + growth)
        yield "output", given.text.replace(given.old, given.new)


class WordCharacterCountBlock(PureBlock):
    """Count the words and the characters of a text."""

    id = "ab2a782d-22cf-4587-8a70-55b59b3f9f90"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """A text."""

        text: str
        """Words are what stands between white space."""

    class Output(BlockOutput):
        """Two counts."""

        word_count: int
        """Words."""
        character_count: int
        """Characters, white space included."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the words, then the characters."""
        yield "word_count", len(given.text.split())
        yield "character_count", len(given.text)


class TextEncoderBlock(PureBlock):
    r"""Write what is not plain ASCII as escapes: a new line as `\n`, é as `\xe9`."""

    id = "5185f32e-4b65-4ecf-8fbb-873f003f09d6"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """A text."""

        text: str
        """Any text."""

    class Output(BlockOutput):
        """The text with escapes."""

        encoded_text: str
        """ASCII on one line."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the text with escapes."""
        yield "encoded_text", given.text.encode("unicode_escape").decode("ascii")


class TextDecoderBlock(PureBlock):
    r"""Read escapes in a text: `\n` becomes a new line, `\xe9` an é."""

    id = "2570e8fe-8447-43ed-84c7-70d657923231"
    categories = (BlockCategory.TEXT,)

    class Input(BlockInput):
        """A text with escapes."""

        text: str
        """What is not part of an escape stays as it is."""

    class Output(BlockOutput):
        """The text."""

        decoded_text: str
        """The text without escapes."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the text without escapes.

        Raises:
            BlockError: An escape is incomplete or names no character.
        """
        # Through Latin-1 with escapes, so that characters beyond ASCII come through whole.
        readable = given.text.encode("latin-1", "backslashreplace")
        try:
            yield "decoded_text", readable.decode("unicode_escape")
        except UnicodeDecodeError:
            raise BlockError("The text holds an escape that cannot be read") from None


def _require_size(characters: int) -> None:
    if characters > MAX_TEXT_CHARACTERS:
        raise BlockLimitExceeded(f"The text would have more than {MAX_TEXT_CHARACTERS:,} characters")

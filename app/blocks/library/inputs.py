"""The blocks through which values enter a graph."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import date, time
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, model_validator

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock, RemoteBlock
from app.blocks.context import BlockContext
from app.blocks.library.files import pass_file_on
from app.graph.signature import Effect, Kind


class NamedInput(BlockInput):
    """What every input of a graph has."""

    name: str
    """The name of the run input."""
    value: Any = None
    """The value when the run gives none."""
    title: str | None = None
    """What people read instead of the name."""
    description: str | None = None
    """What the input is for."""
    advanced: bool = False
    """Whether to show it only on request."""
    secret: bool = False
    """Whether to hide its value."""


class AgentInputBlock(PureBlock):
    """An input of the graph, of any type. Nothing is emitted while it has no value."""

    id = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b"
    categories: ClassVar[tuple[BlockCategory, ...]] = (BlockCategory.INPUT, BlockCategory.BASIC)
    kind = Kind.INPUT
    is_static = True

    class Input(NamedInput):
        """The input."""

    class Output(BlockOutput):
        """The value."""

        result: Any
        """What the run was given, else the default."""

    def run(self, given: Any) -> Iterator[Emitted]:
        """Emit the value if there is one."""
        if given.value is not None:
            yield "result", given.value


class AgentShortTextInputBlock(AgentInputBlock):
    """A text input of one line."""

    id = "7fcd3bcb-8e1b-4e69-903d-32d3d4a92158"
    categories = (BlockCategory.INPUT,)

    class Input(NamedInput):
        """The input."""

        value: str | None = None
        """A line of text."""

    class Output(BlockOutput):
        """The value."""

        result: str
        """The text."""


class AgentLongTextInputBlock(AgentInputBlock):
    """A text input of many lines."""

    id = "90a56ffb-7024-4b2b-ab50-e26c5e5ab8ba"
    categories = (BlockCategory.INPUT,)

    class Input(NamedInput):
        """The input."""

        value: str | None = None
        """Any amount of text."""

    class Output(BlockOutput):
        """The value."""

        result: str
        """The text."""


class AgentNumberInputBlock(AgentInputBlock):
    """An input that is a whole number."""

    id = "96dae2bb-97a2-41c2-bd2f-13a3b5a8ea98"
    categories = (BlockCategory.INPUT,)

    class Input(NamedInput):
        """The input."""

        value: int | None = None
        """A whole number; the fraction of any other is dropped."""

    class Output(BlockOutput):
        """The value."""

        result: int
        """The number."""


class AgentDateInputBlock(AgentInputBlock):
    """An input that is a day of the calendar."""

    id = "7e198b09-4994-47db-8b4d-952d98241817"
    categories = (BlockCategory.INPUT,)

    class Input(NamedInput):
        """The input."""

        value: date | None = None
        """A day, as `2026-01-31`."""

    class Output(BlockOutput):
        """The value."""

        result: date
        """The day, as `2026-01-31`."""


class AgentTimeInputBlock(AgentInputBlock):
    """An input that is a time of the day."""

    id = "2a1c757e-86cf-4c7e-aacf-060dc382e434"
    categories = (BlockCategory.INPUT,)

    class Input(NamedInput):
        """The input."""

        value: time | None = None
        """A time, as `18:30` or `18:30:05`."""

    class Output(BlockOutput):
        """The value."""

        result: time
        """The time, as `18:30:00`."""


class AgentFileInputBlock(RemoteBlock):
    """An input that is a file. It is stored, and its reference goes out; nothing is emitted when it is empty."""

    id = "95ead23f-8283-4654-aef3-10c053b74a31"
    categories = (BlockCategory.INPUT,)
    kind = Kind.INPUT
    is_static = True
    effect = Effect.KEYED

    class Input(NamedInput):
        """The input."""

        value: str | None = None
        """A reference, an http(s) URL, a data URI, or plain text."""
        base_64: bool = False
        """Whether the file goes out whole, as a data URI, instead of being stored."""

    class Output(BlockOutput):
        """The file."""

        result: str
        """Its reference, or a data URI."""

    async def run(self, given: Any, context: BlockContext) -> AsyncIterator[Emitted]:
        """Emit the file if there is one.

        Raises:
            BlockError: It is no file, too large, or cannot be fetched.
        """
        if given.value:
            yield "result", await pass_file_on(context, given.value, as_data_uri=given.base_64)


class AgentDropdownInputBlock(AgentInputBlock):
    """A text input that is chosen from a list of options."""

    id = "655d6fdf-a334-421c-b733-520549c07cd1"
    categories = (BlockCategory.INPUT,)

    class Input(NamedInput):
        """The input."""

        value: str | None = None
        """One of the options."""
        options: list[Any] = Field(default=[])
        """What can be chosen; older graphs call them `placeholder_values`."""

        @model_validator(mode="before")
        @classmethod
        def _take_the_old_name(cls, data: Any) -> Any:
            if isinstance(data, dict) and "placeholder_values" in data and "options" not in data:
                return data | {"options": data["placeholder_values"]}
            return data

    class Output(BlockOutput):
        """The value."""

        result: str
        """The chosen option."""


class AgentToggleInputBlock(AgentInputBlock):
    """An input that is on or off. It always emits, off when the run says nothing."""

    id = "cbf36ab5-df4a-43b6-8a7f-f7ed8652116e"
    categories = (BlockCategory.INPUT,)

    class Input(NamedInput):
        """The input."""

        value: bool = False
        """Whether it is on."""

    class Output(BlockOutput):
        """The value."""

        result: bool
        """Whether it is on."""


class AgentTableInputBlock(AgentInputBlock):
    """An input that is a table. It always emits, an empty table when the run says nothing."""

    id = "5603b273-f41e-4020-af7d-fbc9c6a8d928"
    categories = (BlockCategory.INPUT,)

    class Input(NamedInput):
        """The input."""

        value: list[dict[str, Any]] | None = None
        """One object per row, by column."""
        column_headers: list[str] = Field(default=["Column 1", "Column 2", "Column 3"])
        """The columns."""

    class Output(BlockOutput):
        """The value."""

        result: list[dict[str, Any]]
        """The rows."""

    def run(self, given: Any) -> Iterator[Emitted]:
        """Emit the rows."""
        yield "result", given.value or []


class GoogleDriveFile(BlockOutput):
    """A file in Google Drive, as the picker describes it. Whatever else it says is kept."""

    model_config = ConfigDict(extra="allow")

    id: str
    """The file's id in Drive."""


class AgentGoogleDriveFileInputBlock(AgentInputBlock):
    """An input that points at a file in Google Drive. The file itself is not read here."""

    id = "d3b32f15-6fd7-40e3-be52-e083f51b19a2"
    categories = (BlockCategory.INPUT,)

    class Input(NamedInput):
        """The input."""

        value: GoogleDriveFile | None = None
        """What the picker gave."""
        allowed_views: list[str] = Field(default=["DOCS", "SPREADSHEETS", "PRESENTATIONS"])
        """What the picker offers."""
        allow_folder_selection: bool = False
        """Whether a folder can be picked."""

    class Output(BlockOutput):
        """The value."""

        result: GoogleDriveFile
        """What the picker gave."""

"""Tables in files: separated values, and the workbooks of Excel."""

from __future__ import annotations

import asyncio
import csv
import io
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, datetime, time
from typing import Any

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.context import BlockContext
from app.blocks.library.files import MAX_TEXT_BYTES, decode_text, read_file
from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from app.files.types import SPREADSHEET
from app.graph.signature import Effect

MAX_ROWS = 100_000
MAX_CELLS = 2_000_000
MAX_WORKBOOK_BYTES = 128 * 1024 * 1024
"""Of all parts of a workbook, unpacked."""
MAX_SHARED_BYTES = 64 * 1024 * 1024
"""Of the part with its texts, which is read as a whole."""
MAX_PARTS = 2_000
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_PROLOGUE_BYTES = 4 * 1024


class ReadSpreadsheetBlock(RemoteBlock):
    """Read a table: cells separated by a character, as in CSV, or the first sheet of an Excel workbook (xlsx)."""

    id = "acf7625e-d2cb-4941-bfeb-2819fc6fc015"
    categories = (BlockCategory.TEXT, BlockCategory.DATA)
    emits_many = True
    effect = Effect.PURE

    class Input(BlockInput):
        """The table and how to read it."""

        contents: str | None = None
        """The text of the table."""
        file_input: str | None = None
        """A file with it: a reference, an http(s) URL, a data URI or plain text. Looked at without `contents`."""
        delimiter: str = ","
        """The character between two cells."""
        quotechar: str = '"'
        """The character around a cell that holds delimiters or line ends."""
        escapechar: str = "\\"
        """The character that takes the meaning from the next one; none if empty."""
        has_header: bool = True
        """Whether the first row names the columns; otherwise they are called 0, 1, 2 and so on."""
        skip_rows: int = 0
        """Rows to leave out after the header."""
        strip: bool = True
        """Whether to take white space off the ends of cells."""
        skip_columns: list[str] = Field(default=[])
        """Columns to leave out, by name or by number."""
        produce_singular_result: bool = False
        """Whether to emit row by row."""

    class Output(BlockOutput):
        """The rows one by one, or all at once."""

        row: dict[str, str]
        """A row by column; only when row by row."""
        rows: list[dict[str, str]]
        """All rows; only when not row by row."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Emit the rows.

        Raises:
            BlockInputInvalid: There is no table, or it cannot be read so.
            BlockLimitExceeded: It has too many rows or cells.
            BlockUnavailable: It cannot be fetched now.
        """
        content = (given.contents or "").encode("utf-8", "replace")
        if not content:
            if not given.file_input:
                raise BlockInputInvalid("Either `contents` or `file_input` is needed")
            file = await read_file(context, given.file_input, limit_bytes=MAX_TEXT_BYTES)
            content = file.content
        rows = await asyncio.to_thread(_read_rows, content, given)
        if given.produce_singular_result:
            for row in rows:
                yield "row", row
        else:
            yield "rows", rows


def _read_rows(content: bytes, given: ReadSpreadsheetBlock.Input) -> list[dict[str, str]]:
    if content.startswith(_OLD_EXCEL):
        raise BlockError("`file_input` is a workbook of an old Excel: save it as xlsx or CSV")
    cells = (
        _cells_of_workbook(content) if content.startswith(b"PK\x03\x04") else _cells_of_text(content, given)
    )
    return list(_name_cells(cells, given))


def _cells_of_text(content: bytes, given: ReadSpreadsheetBlock.Input) -> Iterator[Sequence[str]]:
    try:
        yield from csv.reader(
            io.StringIO(decode_text(content), newline=""),
            delimiter=given.delimiter,
            quotechar=given.quotechar or None,
            quoting=csv.QUOTE_MINIMAL if given.quotechar else csv.QUOTE_NONE,
            escapechar=given.escapechar or None,
        )
    except (csv.Error, TypeError, ValueError):
        raise BlockInputInvalid("The table cannot be read with these delimiters") from None


def _name_cells(rows: Iterator[Sequence[str]], given: ReadSpreadsheetBlock.Input) -> Iterator[dict[str, str]]:
    names: list[str] = []
    skipped = set(given.skip_columns)
    total = 0
    if given.has_header:
        names = [cell.strip() if given.strip else cell for cell in next(rows, [])]
    for number, cells in enumerate(rows):
        total += len(cells)
        if number - given.skip_rows >= MAX_ROWS:
            raise BlockLimitExceeded(f"The table has more than {MAX_ROWS:,} rows")
        if total > MAX_CELLS:
            raise BlockLimitExceeded(f"The table has more than {MAX_CELLS:,} cells")
        if number >= given.skip_rows and cells:
            yield {
                name: cell.strip() if given.strip else cell
                for column, cell in enumerate(cells)
                if (name := names[column] if column < len(names) else str(column)) not in skipped
                and str(column) not in skipped
            }


def _cells_of_workbook(content: bytes) -> Iterator[Sequence[str]]:
    import openpyxl  # noqa: PLC0415 - it takes a worker longer to start than everything else together

    _require_harmless(content)
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        try:
            sheet = book.worksheets[0]
            # What a sheet says of its own size may be a lie, and would be filled up with empty cells.
            sheet.reset_dimensions()
            total = 0
            for row in sheet.iter_rows(values_only=True):
                # One cell far to the right is a row of thousands.
                total += len(row)
                if total > MAX_CELLS:
                    raise BlockLimitExceeded(f"The table has more than {MAX_CELLS:,} cells")
                cells = [_text_of(cell) for cell in row]
                while cells and not cells[-1]:
                    cells.pop()
                yield cells
        finally:
            book.close()
    except BlockError:
        raise
    except Exception as error:  # whatever the library trips over, the file is what is wrong
        raise BlockInputInvalid(f"`file_input` is no workbook that can be read ({SPREADSHEET})") from error


def _require_harmless(content: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            parts = book.infolist()
            shared = sum(part.file_size for part in parts if "sharedstrings" in part.filename.lower())
            if (
                len(parts) > MAX_PARTS
                or sum(part.file_size for part in parts) > MAX_WORKBOOK_BYTES
                or shared > MAX_SHARED_BYTES
            ):
                raise BlockLimitExceeded("`file_input` is a workbook that is too large when it is unpacked")
            for part in parts:
                with book.open(part) as opened:
                    # Without a document type there are no entities, and so nothing that grows or reads other files.
                    if b"<!DOCTYPE" in opened.read(_PROLOGUE_BYTES).replace(b"\x00", b"").upper():
                        raise BlockInputInvalid(
                            "`file_input` declares a document type, which no workbook does"
                        )
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise BlockInputInvalid("`file_input` is no workbook that can be read") from error


def _text_of(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(sep=" ")
    return cell.isoformat() if isinstance(cell, date | time) else str(cell)

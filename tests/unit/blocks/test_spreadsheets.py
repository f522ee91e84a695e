from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest

from app.blocks.library.spreadsheets import MAX_ROWS
from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from tests.unit.blocks.calls import call_remote, case, refusal
from tests.unit.blocks.contexts import MemoryFiles, make_context

CSV = "name, age\nAda, 36\nAlan, 41\n"


def table(sentence: str, contents: str, rows: list[dict[str, str]], **more: Any) -> Any:
    return case(sentence, "ReadSpreadsheetBlock", {"contents": contents, **more}, ("rows", rows))


def none(sentence: str, error: type[BlockError], match: str | None = None, **data: Any) -> Any:
    return refusal(sentence, "ReadSpreadsheetBlock", data, error, match)


CASES = [
    table("with a header", CSV, [{"name": "Ada", "age": "36"}, {"name": "Alan", "age": "41"}]),
    table("without", "a,b\nc,d", [{"0": "a", "1": "b"}, {"0": "c", "1": "d"}], has_header=False),
    table("spaces stay", "n, m\n1, 2", [{"n": "1", " m": " 2"}], strip=False),
    table("another delimiter", "n;m\n1;2", [{"n": "1", "m": "2"}], delimiter=";"),
    table("quotes", 'n,m\n"a,b","c\nd"', [{"n": "a,b", "m": "c\nd"}]),
    table("other quotes", "n,m\n'a,b',c", [{"n": "a,b", "m": "c"}], quotechar="'"),
    table("an escape", "n,m\na\\,b,c", [{"n": "a,b", "m": "c"}]),
    table("no quotes and escapes", 'n,m\n"a\\,b', [{"n": '"a\\', "m": "b"}], quotechar="", escapechar=""),
    table("rows are skipped", CSV, [{"name": "Alan", "age": "41"}], skip_rows=1),
    table("columns are skipped by name", CSV, [{"name": "Ada"}, {"name": "Alan"}], skip_columns=["age"]),
    table("and by number", CSV, [{"age": "36"}, {"age": "41"}], skip_columns=["0"]),
    table("a long row", "n\n1,2", [{"n": "1", "1": "2"}]),
    table("a short row", "n,m\n1", [{"n": "1"}]),
    table("empty lines", "n\n\n1\n\n", [{"n": "1"}]),
    table("a header only", "n,m", []),
    case(
        "row by row",
        "ReadSpreadsheetBlock",
        {"contents": CSV, "produce_singular_result": True},
        ("row", {"name": "Ada", "age": "36"}),
        ("row", {"name": "Alan", "age": "41"}),
    ),
    case("a file as text", "ReadSpreadsheetBlock", {"file_input": "n\n1"}, ("rows", [{"n": "1"}])),
    case(
        "a file as a data URI",
        "ReadSpreadsheetBlock",
        {"file_input": "data:text/csv;base64," + base64.b64encode("\ufeffn\né".encode()).decode()},
        ("rows", [{"n": "é"}]),
    ),
]

REFUSALS = [
    none("no table", BlockInputInvalid, "is needed"),
    none("a long delimiter", BlockInputInvalid, contents=CSV, delimiter="::"),
    none("no file", BlockInputInvalid, file_input="https://a.example/x.csv"),
    none("an old Excel file", BlockError, "old Excel", file_input="data:;base64,0M8R4AAA"),
    none("a broken zip", BlockInputInvalid, "no workbook", file_input="data:;base64,UEsDBAAAAA=="),
    none("many rows", BlockLimitExceeded, contents="n\n" + "1\n" * 100_001),
    none("an open quote", BlockInputInvalid, contents='n\n"' + "x" * 200_000),
]


@pytest.mark.parametrize(("name", "data", "emitted"), CASES)
async def test_it_emits_exactly(name: str, data: dict[str, Any], emitted: list[tuple[str, Any]]) -> None:
    assert await call_remote(name, data) == emitted


@pytest.mark.parametrize(("name", "data", "error", "match"), REFUSALS)
async def test_it_refuses(
    name: str, data: dict[str, Any], error: type[BlockError], match: str | None
) -> None:
    with pytest.raises(error, match=match):
        await call_remote(name, data)


def workbook(*rows: Sequence[Any]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def with_part(content: bytes, name: str, text: bytes) -> bytes:
    """Return a workbook with one of its parts put in place of another."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for part in old.namelist():
            new.writestr(part, text if part == name else old.read(part))
    return written.getvalue()


async def read(content: bytes, **more: Any) -> list[tuple[str, Any]]:
    files = MemoryFiles()
    reference = await files.store(content, name="a.xlsx")
    return await call_remote(
        "ReadSpreadsheetBlock", {"file_input": reference, **more}, make_context(files=files)
    )


async def test_a_workbook_is_read_like_any_table() -> None:
    rows: list[list[Any]] = [
        ["n", "when", "at", "so"],
        [1, date(2026, 1, 31), datetime.fromisoformat("2026-01-31T12:30"), True],
        [2.5, "é", None],
    ]
    assert await read(workbook(*rows)) == [
        (
            "rows",
            [
                {"n": "1", "when": "2026-01-31", "at": "2026-01-31 12:30:00", "so": "True"},
                {"n": "2.5", "when": "é"},
            ],
        )
    ]
    assert await read(workbook(["a"], ["b"]), has_header=False, produce_singular_result=True) == [
        ("row", {"0": "a"}),
        ("row", {"0": "b"}),
    ]


async def test_a_workbook_that_swells_when_it_is_unpacked_is_refused() -> None:
    bomb = with_part(workbook(["a"]), "xl/worksheets/sheet1.xml", b"<x>" + b" " * 140_000_000)
    assert len(bomb) < 1_000_000
    with pytest.raises(BlockLimitExceeded, match="unpacked"):
        await read(bomb)


async def test_a_workbook_with_entities_is_refused() -> None:
    laughs = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><worksheet>&b;</worksheet>'
    with pytest.raises(BlockInputInvalid, match="document type"):
        await read(with_part(workbook(["a"]), "xl/worksheets/sheet1.xml", laughs))


async def test_the_size_that_a_sheet_claims_is_not_believed() -> None:
    sheet = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        b'<dimension ref="A1:XFD1048576"/><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>n</t></is></c></row>'
        b'<row r="2"><c r="A2"><v>1</v></c></row></sheetData></worksheet>'
    )
    assert await read(with_part(workbook(["a"]), "xl/worksheets/sheet1.xml", sheet)) == [
        ("rows", [{"n": "1"}])
    ]


async def test_a_sheet_has_no_more_rows_than_any_table() -> None:
    row = b'<row r="%d"><c r="A%d"><v>1</v></c></row>'
    # Those in between are there too, empty.
    rows = b"".join(row % (n, n) for n in (1, MAX_ROWS + 2))
    sheet = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>' + rows
    with pytest.raises(BlockLimitExceeded, match="rows"):
        await read(
            with_part(workbook(["a"]), "xl/worksheets/sheet1.xml", sheet + b"</sheetData></worksheet>")
        )


async def test_a_sheet_has_no_more_cells_than_any_table() -> None:
    rows = b"".join(b'<row r="%d"><c r="XFD%d"><v>1</v></c></row>' % (n, n) for n in range(1, 200))
    sheet = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>' + rows
    with pytest.raises(BlockLimitExceeded, match="cells"):
        await read(
            with_part(workbook(["a"]), "xl/worksheets/sheet1.xml", sheet + b"</sheetData></worksheet>")
        )


async def test_what_is_no_workbook_is_refused() -> None:
    for name in ("xl/workbook.xml", "xl/worksheets/sheet1.xml", "[Content_Types].xml"):
        with pytest.raises(BlockInputInvalid, match="no workbook"):
            await read(with_part(workbook(["a"]), name, b"<broken"))

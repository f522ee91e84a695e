"""What commands are given: values, secrets, and graphs by id or name."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import typer

from app.cli.given import find_graph, read_credentials, read_inputs, read_secret
from perdure import Client

ID = "7b1f8a52-7a8f-4a39-9f0e-6b2f3c1d9a10"
HEX = ID.replace("-", "")


class Graphs:
    """Graphs of somebody."""

    def __init__(self, **names: str) -> None:
        self._found = [{"id": id, "name": name} for id, name in names.items()]
        self.graphs = self

    def list(self) -> list[dict[str, Any]]:
        return self._found


def test_what_is_json_is_read_as_such_and_what_only_python_takes_for_json_is_a_text(tmp_path: Path) -> None:
    file = tmp_path / "inputs.json"
    file.write_text('{"a": 1, "b": 2}', encoding="utf-8-sig")
    given = ["b=[true]", "c=NaN", "d=1e999", 'e="\\ud800"', "f=", "g=x=y", "h= -Infinity"]
    assert read_inputs(file, given) == {
        "a": 1,
        "b": [True],
        "c": "NaN",
        "d": "1e999",
        "e": '"\\ud800"',
        "f": "",
        "g": "x=y",
        "h": " -Infinity",
    }
    assert read_credentials(["openai=12", "b=c"]) == {"openai": "12", "b": "c"}
    assert read_credentials(None) is None


@pytest.mark.parametrize("content", [b'{"a": NaN}', b"[]", b"\xff", b"{", b"[" * 100_000])
def test_a_file_that_holds_no_inputs_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "inputs.json"
    file.write_bytes(content)
    with pytest.raises(typer.Exit) as ended:
        read_inputs(file, None)
    assert ended.value.exit_code == 1


def test_what_names_no_value_is_a_wrong_use() -> None:
    for given in ("odd", "=1"):
        with pytest.raises(typer.Exit) as ended:
            read_inputs(None, [given])
        assert ended.value.exit_code == 2


def test_a_secret_is_read_without_its_line_break_and_as_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO("ü secret \r\n".encode()), encoding="ascii")
    )
    assert read_secret(Path("-")) == "ü secret "
    assert read_secret(None) is None


def test_a_graph_is_meant_by_its_id_before_its_name_and_never_by_a_name_of_several() -> None:
    graphs = cast(Client, Graphs(one=ID, two=HEX, three="twin", four="twin"))
    assert find_graph(graphs, ID) == ID
    assert find_graph(graphs, HEX) == "two"
    for ref in ("twin", "none"):
        with pytest.raises(typer.Exit):
            find_graph(graphs, ref)

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.code_sandbox.folder import MAX_FILES, pack, require_plain, unpack
from app.errors import BlockError

NAMES = st.text("abcäß .-_", min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))
FOLDERS = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=50))


@given(FOLDERS)
def test_a_folder_comes_out_as_it_went_in(folder: dict[str, bytes]) -> None:
    assert unpack(pack(folder, status=0)) == (folder, {"status": 0})


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../a",
        "a/../b",
        "a//b",
        "./a",
        "a/",
        "a\\b",
        "a\0b",
        "a\nb",
        "..",
        "x" * 501,
        "\ud800",
    ],
)
def test_a_path_that_leads_out_of_its_folder_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        require_plain(path)
    with pytest.raises(BlockError):
        unpack(json.dumps({"files": [[path, 1]]}).encode() + b"\nx")


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"files": 1}\n',
        b'{"files": [1]}\n',
        b'{"files": [["a"]]}\n',
        b'{"files": [["a", "x"]]}\n',
        b'{"files": [[1, 1]]}\n',
        b"[" * 100_000 + b"\n",
        b"\xff\n",
    ],
)
def test_what_is_no_folder_is_refused(packed: bytes) -> None:
    with pytest.raises(BlockError):
        unpack(packed)


def test_sizes_that_lie_gain_nothing() -> None:
    listed = [["a", 10**12], ["b", -5], ["c", 3]]
    folder, _ = unpack(json.dumps({"files": listed}).encode() + b"\nabc")
    assert folder == {"a": b"abc", "b": b"", "c": b""}


def test_files_without_number_are_cut_off() -> None:
    listed = [[f"f{number}", 0] for number in range(MAX_FILES + 1)]
    assert len(unpack(json.dumps({"files": listed}).encode() + b"\n")[0]) == MAX_FILES

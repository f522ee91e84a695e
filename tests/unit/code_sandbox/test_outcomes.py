from __future__ import annotations

import json
from typing import Any

import pytest

from app.code_sandbox.outcomes import read_outcome
from app.errors import BlockError, BlockUnavailable


def answered(**said: Any) -> bytes:
    return b"ready\n" + json.dumps({"files": [], **said}).encode() + b"\n"


def test_a_sandbox_that_was_not_built_may_be_built_later() -> None:
    with pytest.raises(BlockUnavailable, match="No permissions"):
        read_outcome(b"", "", "bwrap: No permissions to create new namespace")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"ready\n", "ended the sandbox"),
        (b"ready\nnonsense", "not understood"),
        (answered(), "failed with status None"),
        (answered(status=3), "failed with status 3: bad"),
        (answered(status=-9), "was ended by SIGKILL: bad"),
        (answered(status=-9999), "failed with status -9999"),
        (answered(status="x" * 100), "failed with status xxxxxxxxxx: bad"),
        (answered(status=1, setup_command=2), "Setup command 2 failed"),
        (answered(status=127, missing="node"), "node is not installed"),
    ],
)
def test_code_that_failed_says_how(answer: bytes, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        read_outcome(answer, "printed", "bad\n")


@pytest.mark.parametrize("results", [None, 1, "x", {}, [1, "x", None]])
def test_results_of_no_known_form_are_none(results: Any) -> None:
    assert list(read_outcome(answered(status=0, results=results), "", "").results) == []

"""A token is for the server of one folder, and says so where there is none yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.signing import sign_token


def test_whoever_signs_in_a_folder_without_a_server_is_told_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERDURE_HOME", "data")
    for told in (f"perdure: {tmp_path}/data is new", ""):
        assert sign_token(email="a@example.org", role="user", lifetime_seconds=60)
        assert capsys.readouterr().err.partition(": the")[0] == told

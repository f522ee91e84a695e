"""What the environment may say, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.settings.settings import SettingsRefused, read_settings, reveal

KEY = "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk="
EXTERNAL = {
    "PERDURE_DATABASE_URL": "postgresql://perdure:hidden-word@db/perdure",
    "PERDURE_TEMPORAL_ADDRESS": "temporal:7233",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the settings of the machine and a .env of the checkout away."""
    for name in os.environ:
        if name.startswith("PERDURE_") or name in {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def external(monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres and Temporal that somebody else runs."""
    for name, value in EXTERNAL.items():
        monkeypatch.setenv(name, value)


def test_with_nothing_configured_the_stack_is_embedded(tmp_path: Path) -> None:
    settings = read_settings()
    assert settings.is_embedded
    assert settings.home == tmp_path / ".perdure"
    assert (settings.host, settings.port, settings.temporal_port, settings.temporal_ui_port) == (
        "127.0.0.1",
        8000,
        7233,
        8233,
    )
    assert (settings.task_queue, settings.initial_credits, settings.log_format) == (
        "perdure",
        1000,
        "console",
    )
    assert settings.allowed_private_hosts == frozenset()


@pytest.mark.usefixtures("external")
def test_with_both_addresses_the_stack_is_external() -> None:
    settings = read_settings()
    assert not settings.is_embedded
    assert settings.database_url == "postgresql+asyncpg://perdure:hidden-word@db/perdure"


@pytest.mark.parametrize(("given", "missing"), [tuple(EXTERNAL), tuple(reversed(EXTERNAL))])
def test_one_address_without_the_other_is_refused_by_the_name_of_the_missing(
    monkeypatch: pytest.MonkeyPatch, given: str, missing: str
) -> None:
    monkeypatch.setenv(given, EXTERNAL[given])
    with pytest.raises(SettingsRefused, match=f"^{missing} is missing"):
        read_settings()


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_DATABASE_URL", "")
    monkeypatch.setenv("PERDURE_PORT", "")
    assert read_settings().is_embedded
    assert read_settings().port == 8000


def test_a_file_in_the_working_folder_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PERDURE_PORT=1\nPERDURE_TASK_QUEUE=mine\nSOMETHING_ELSE=2\n")
    monkeypatch.setenv("PERDURE_PORT", "2")
    settings = read_settings()
    assert (settings.port, settings.task_queue) == (2, "mine")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PERDURE_PORT", "eighty"),
        ("PERDURE_TEMPORAL_PORT", "70000"),
        ("PERDURE_LOG_FORMAT", "xml"),
        ("PERDURE_DATABASE_URL", "mysql://a/b"),
        ("PERDURE_STOP_DEADLINE_SECONDS", "0"),
        ("PERDURE_INITIAL_CREDITS", "-1"),
        ("PERDURE_ENCRYPTION_KEY", "too-short"),
        ("PERDURE_ENCRYPTION_KEY", f"{KEY}, too-short"),
        ("PERDURE_ENCRYPTION_KEY", ","),
    ],
)
def test_a_value_of_the_wrong_form_is_refused_by_name_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsRefused) as refused:
        read_settings()
    assert refused.value.message.startswith(f"{name}: ")
    assert "factory" not in refused.value.message


@pytest.mark.usefixtures("external")
def test_outside_embedded_mode_a_missing_secret_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsRefused, match="PERDURE_JWT_SECRET"):
        read_settings().require_api_secrets()
    monkeypatch.setenv("PERDURE_JWT_JWKS_URL", "https://example.com/keys")
    with pytest.raises(SettingsRefused, match="PERDURE_ENCRYPTION_KEY"):
        read_settings().require_api_secrets()
    with pytest.raises(SettingsRefused, match="PERDURE_ENCRYPTION_KEY"):
        read_settings().require_worker_secrets()
    monkeypatch.setenv("PERDURE_ENCRYPTION_KEY", KEY)
    read_settings().require_api_secrets()


@pytest.mark.usefixtures("external")
def test_secrets_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_JWT_SECRET", "hidden-word")
    monkeypatch.setenv("OPENAI_API_KEY", "hidden-word")
    settings = read_settings()
    assert reveal(settings.jwt_secret) == reveal(settings.openai_api_key) == "hidden-word"
    assert "hidden-word" not in repr(settings)
    assert "hidden-word" not in str(settings)


@pytest.mark.usefixtures("external")
def test_fewer_activities_are_in_flight_on_a_server_that_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().window == 40
    monkeypatch.setenv("PERDURE_WINDOW", "7")
    assert read_settings().window == 7
    monkeypatch.undo()
    assert read_settings(database_url=None, temporal_address=None).window == 100


def test_hosts_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_ALLOWED_PRIVATE_HOSTS", "127.0.0.1, models.internal,")
    assert read_settings().allowed_private_hosts == {"127.0.0.1", "models.internal"}


@pytest.mark.parametrize("store", ["s3://", "s3:///prefix", "gs://bucket", "s3://bucket/a prefix", "bucket"])
def test_a_value_store_that_is_neither_postgres_nor_a_bucket_is_refused(
    monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.setenv("PERDURE_VALUE_STORE", store)
    with pytest.raises(SettingsRefused, match="PERDURE_VALUE_STORE"):
        read_settings()


@pytest.mark.parametrize("store", ["postgres", "s3://bucket", "s3://bucket/a/prefix"])
def test_values_are_kept_in_postgres_or_in_a_bucket(monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    monkeypatch.setenv("PERDURE_VALUE_STORE", store)
    assert read_settings().value_store == store

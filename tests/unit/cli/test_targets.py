"""Where a command goes to: what was typed, then the environment, then a profile, then `.env`, and never a mixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.targets import TargetRefused, choose_target

PROFILES = """
[default]
url = "https://usual.example"
key = "usual"

[other]
url = "https://other.example"
key = "other"
"""


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with no variables set."""
    for name in ("PERDURE_API_URL", "PERDURE_API_KEY", "PERDURE_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_profiles(folder: Path, text: str = PROFILES, mode: int = 0o600) -> Path:
    file = folder / "config" / "perdure" / "profiles.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    file.chmod(mode)
    return file


def test_the_first_that_names_anything_gives_everything(
    surroundings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = choose_target(url=None, key=None, profile=None)
    (surroundings / ".env").write_text("PERDURE_API_URL=http://file.example\nPERDURE_API_KEY='from file'\n")
    env_file = choose_target(url=None, key=None, profile=None)
    write_profiles(surroundings)
    default = choose_target(url=None, key=None, profile=None)
    monkeypatch.setenv("PERDURE_PROFILE", "other")
    named = choose_target(url=None, key=None, profile=None)
    monkeypatch.setenv("PERDURE_API_KEY", "exported")
    exported = choose_target(url=None, key=None, profile=None)
    typed = choose_target(url="http://typed.example", key=None, profile=None)
    profile = choose_target(url=None, key=None, profile="default")

    assert nothing == (None, "")
    assert env_file == ("http://file.example", "from file")
    assert default == ("https://usual.example", "usual")
    assert named == ("https://other.example", "other")
    assert exported == (None, "exported")
    assert typed == ("http://typed.example", "exported")
    assert profile == ("https://usual.example", "usual")


def test_the_key_of_a_profile_or_file_does_not_go_to_an_address_from_elsewhere(surroundings: Path) -> None:
    (surroundings / ".env").write_text("PERDURE_API_URL=http://stranger.example\n")
    write_profiles(surroundings)
    assert choose_target(url="http://stranger.example", key=None, profile=None).key == ""
    assert choose_target(url=None, key="mine", profile=None).url is None


def test_a_file_of_profiles_that_others_can_read_is_refused(surroundings: Path) -> None:
    file = write_profiles(surroundings, mode=0o644)
    with pytest.raises(TargetRefused, match=f"chmod 600 {file}"):
        choose_target(url=None, key=None, profile=None)


@pytest.mark.parametrize(
    ("text", "profile", "said"),
    [
        (PROFILES, "third", "no profile 'third'"),
        ("[broken", "default", "no TOML"),
        ("[default]\nkey = 'k'", "default", "needs an url"),
        ("default = 3", "default", "needs an url"),
        ("[default]\nurl = 'http://x'\nkye = 'k'", "default", "means nothing: kye"),
    ],
)
def test_a_profile_that_is_of_no_use_is_refused(
    surroundings: Path, text: str, profile: str, said: str
) -> None:
    write_profiles(surroundings, text)
    with pytest.raises(TargetRefused, match=said):
        choose_target(url=None, key=None, profile=profile)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffPERDURE_API_URL=http://x\nPERDURE_API_KEY=k\n",
        "export PERDURE_API_URL = 'http://x' # there\r\nPERDURE_API_KEY=\"k\"\r\n",
    ],
)
def test_a_file_of_variables_may_be_written_in_other_ways(surroundings: Path, text: str) -> None:
    (surroundings / ".env").write_text(text, encoding="utf-8", newline="")
    assert choose_target(url=None, key=None, profile=None) == ("http://x", "k")


def test_a_file_of_variables_that_cannot_be_read_is_refused_and_a_folder_of_that_name_is_none(
    surroundings: Path,
) -> None:
    file = surroundings / ".env"
    file.mkdir()
    assert choose_target(url=None, key=None, profile=None) == (None, "")
    file.rmdir()
    file.write_bytes(b"PERDURE_API_KEY=\xe9")
    with pytest.raises(TargetRefused, match="no UTF-8"):
        choose_target(url=None, key=None, profile=None)

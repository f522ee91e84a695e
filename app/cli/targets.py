"""Where the API is and who asks: what was typed, the environment, a profile, or `.env`.

The first of them that names an URL or a key gives both: a key that one of them holds is never sent to where another one
points.
"""

from __future__ import annotations

import io
import os
import tomllib
from pathlib import Path
from typing import NamedTuple

DEFAULT_PROFILE = "default"
_OTHERS = 0o077


class TargetRefused(Exception):
    """A profile cannot be used."""


class Target(NamedTuple):
    """Where the API is, None for where it usually is, and the key."""

    url: str | None
    key: str


def choose_target(*, url: str | None, key: str | None, profile: str | None) -> Target:
    """Return where a command is to go to.

    Args:
        url: As typed.
        key: As typed.
        profile: As typed.

    Raises:
        TargetRefused: There is no such profile, others can read the file, or a file is not what it should be.
    """
    if profile is not None:
        known = _require_profile(profile)
        return Target(url or known.url, known.key if key is None else key)
    url = url or os.environ.get("PERDURE_API_URL") or None
    key = os.environ.get("PERDURE_API_KEY") if key is None else key
    if url or key:
        return Target(url, key or "")
    if named := os.environ.get("PERDURE_PROFILE"):
        return _require_profile(named)
    return _read_profiles().get(DEFAULT_PROFILE) or _read_env_file() or Target(None, "")


def profiles_file() -> Path:
    """Return where profiles are kept."""
    configuration = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(configuration) / "perdure" / "profiles.toml"


def _require_profile(name: str) -> Target:
    found = _read_profiles().get(name)
    if found is None:
        raise TargetRefused(f"There is no profile {name!r} in {profiles_file()}")
    return found


def _read_profiles() -> dict[str, Target]:
    file = profiles_file()
    try:
        with file.open("rb") as opened:
            if os.name == "posix" and os.fstat(opened.fileno()).st_mode & _OTHERS:
                raise TargetRefused(f"Others can read {file}, which holds keys: chmod 600 {file}")
            tables = tomllib.load(opened)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise TargetRefused(f"{file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TargetRefused(f"{file} is no TOML: {error}") from None
    return {name: _target(file, name, table) for name, table in tables.items()}


def _target(file: Path, name: str, table: object) -> Target:
    values = table if isinstance(table, dict) else {}
    url, key = values.get("url"), values.get("key", "")
    if not (isinstance(url, str) and url and isinstance(key, str)):
        raise TargetRefused(f"The profile {name!r} in {file} needs an url, and a key")
    if others := set(values) - {"url", "key"}:
        raise TargetRefused(
            f"The profile {name!r} in {file} holds what means nothing: {', '.join(sorted(others))}"
        )
    return Target(url, key)


def _read_env_file() -> Target | None:
    file = Path(".env")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
    except OSError as error:
        raise TargetRefused(f"{file.absolute()} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TargetRefused(f"{file.absolute()} is no UTF-8") from None
    if "PERDURE_API_" not in text:
        return None
    from dotenv import dotenv_values  # noqa: PLC0415 - few have such a file

    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    url, key = values.get("PERDURE_API_URL"), values.get("PERDURE_API_KEY")
    return Target(url or None, key or "") if url or key else None

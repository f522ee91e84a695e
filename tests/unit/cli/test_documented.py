"""The commands that pages name exist, and every group of commands is named."""

from __future__ import annotations

import re
from pathlib import Path

from app.cli.main import application
from tests.e2e.test_every_command import paths_of

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/howto/*.md"))]
_COMMAND = re.compile(r"(?:^|`|\$\(|bin/)perdure ([a-z]+)(?: ([a-z|\\]+))?", re.MULTILINE)


def named() -> set[str]:
    """Return the commands that pages name, with `a|b` taken apart."""
    found = set()
    for page in PAGES:
        for first, rest in _COMMAND.findall(page.read_text()):
            words = [word for word in rest.replace("\\", "").split("|") if word]
            found |= {f"{first} {word}" for word in words} or {first}
    return found


def test_the_commands_that_pages_name_exist_and_none_is_left_out() -> None:
    paths = set(paths_of(application))
    groups = {path.split()[0] for path in paths}
    assert named() - paths - groups == set()
    assert paths - named() == set()

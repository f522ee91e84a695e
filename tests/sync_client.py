"""`python -m tests.sync_client`: makes the client without asyncio of the one with it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "perdure"
WORDS = {
    "aiter_lines": "iter_lines",
    "aread": "read",
    "aclose": "close",
    "_async": "_sync",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
}
MADE = "# Made of `perdure/_async` by `python -m tests.sync_client`. Changes belong there.\n"


def without_asyncio(source: str) -> str:
    """Return the source of a module as it reads without asyncio."""
    text = re.sub(r"\b(async|await) ", "", source)
    text = re.sub(r"\bAsync(?=[A-Z])", "", text)
    for word, other in WORDS.items():
        text = re.sub(rf"(?<![A-Za-z]){word}\b", other, text)
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run(
        [ruff, "format", "-"],
        input=MADE + text,
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    return done.stdout


def made_modules() -> dict[Path, str]:
    """Return what the modules of the client without asyncio should hold."""
    written = sorted(file for file in (PACKAGE / "_async").glob("[!_]*.py") if file.name != "pausing.py")
    return {PACKAGE / "_sync" / file.name: without_asyncio(file.read_text()) for file in written}


if __name__ == "__main__":
    for path, text in made_modules().items():
        path.write_text(text)

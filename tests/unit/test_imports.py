"""What importing a module drags in, seen in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SIDE_EFFECTS = {"sqlmodel", "sqlalchemy", "asyncpg", "httpx2", "fastapi", "structlog", "jose", "app.settings"}


def modules_after(*names: str) -> set[str]:
    """Return the modules that are loaded after these have been imported."""
    program = f"import sys, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def find_modules(package: str) -> list[str]:
    """Return the names of a package's modules."""
    folder = ROOT.joinpath(*package.split("."))
    return [f"{package}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]


def test_workflow_code_drags_in_no_side_effect() -> None:
    loaded = modules_after(*find_modules("app.workflows"), *find_modules("app.activities.contracts"))
    assert not SIDE_EFFECTS & loaded


def test_the_graph_core_drags_in_no_temporal_either() -> None:
    loaded = modules_after(*find_modules("app.graph"))
    assert not (SIDE_EFFECTS | {"temporalio", "asyncio"}) & loaded


def test_the_command_line_starts_without_what_its_commands_need() -> None:
    needed = SIDE_EFFECTS | {"app.api.auth", "cryptography", "pydantic", "temporalio"}
    assert not needed & modules_after("app.cli.main")


def test_a_token_is_signed_without_database_and_temporal() -> None:
    loaded = modules_after("app.cli.signing")
    assert "app.settings.settings" in loaded
    assert not {"sqlalchemy", "temporalio", "fastapi"} & loaded


def test_every_marker_of_a_package_is_empty() -> None:
    markers = list((ROOT / "app").rglob("__init__.py"))
    assert markers
    assert [marker for marker in markers if marker.stat().st_size > 0] == []

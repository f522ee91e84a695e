"""The documentation agrees with the tree: links resolve, commands and tests exist, examples are what they say."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import types
import uuid
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pydantic import AliasChoices

from app.api.application import make_application
from app.api.config import ApiConfig
from app.blocks.reference import write_reference
from app.blocks.registry import make_registry
from app.graph.definition import definition_from_json
from app.graph.validation import validate_graph
from app.settings.settings import PREFIX, Settings
from app.temporal import TemporalTarget, connect

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
EXAMPLES = sorted(ROOT.glob("examples/*.json"))

_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_MAKE = re.compile(r"\bmake ([a-z]+)\b(?=[`\s])")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def blocks_of(page: Path, language: str) -> list[str]:
    return [
        "".join(line.removeprefix(indent) for line in code.splitlines(keepends=True))
        for indent, found, code in _BLOCK.findall(page.read_text())
        if found == language
    ]


def commands_of(page: Path) -> str:
    """Return what a page gives to type: shell blocks and inline code."""
    text = page.read_text()
    return "\n".join([*blocks_of(page, "sh"), *re.findall(r"`([^`\n]+)`", text)]) + "\n"


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
class TestEveryPage:
    def test_its_relative_links_resolve(self, page: Path) -> None:
        for target in _LINK.findall(page.read_text()):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            linked = (page.parent / path).resolve() if path else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors_of(linked), target

    def test_the_make_targets_that_it_names_exist(self, page: Path) -> None:
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert set(_MAKE.findall(commands_of(page))) <= targets

    def test_the_tests_that_it_names_exist(self, page: Path) -> None:
        for file, name in _TEST.findall(page.read_text()):
            assert re.search(rf"^ *(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), name

    def test_the_settings_that_it_names_exist(self, page: Path) -> None:
        clients_own = {"PERDURE_API_URL", "PERDURE_API_KEY", "PERDURE_PROFILE"}
        named = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", page.read_text()))
        assert named <= {PREFIX + name.upper() for name in Settings.model_fields} | clients_own

    def test_its_json_and_python_blocks_parse(self, page: Path) -> None:
        for code in blocks_of(page, "json"):
            json.loads(code)
        for code in blocks_of(page, "python"):
            ast.parse(code)


def test_every_promise_names_a_test() -> None:
    text = (ROOT / "docs/guarantees.md").read_text()
    promises = text.split("## Promises")[1].split("\n## ")[0].strip().split("\n\n")
    assert [promise for promise in promises if not _TEST.search(promise)] == []


def test_every_setting_is_described() -> None:
    described = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/howto/operate.md").read_text(), re.MULTILINE))
    settings = {
        str(alias.choices[0] if isinstance(alias, AliasChoices) else alias or PREFIX + name.upper())
        for name, field in Settings.model_fields.items()
        for alias in [field.validation_alias]
    }
    assert settings <= described


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    config = ApiConfig(database_url="postgresql://nobody@localhost/nothing", jwt_secret="0" * 40)
    return make_application(config, lambda: connect(TemporalTarget(address="localhost:0"))).openapi()


def test_every_call_of_the_api_is_described_and_no_other(openapi: dict[str, Any]) -> None:
    described = set(
        re.findall(r"^\| `([A-Z]+ /\S+)` \|", (ROOT / "docs/reference/rest.md").read_text(), re.MULTILINE)
    )
    calls = {f"{method.upper()} {path}" for path, methods in openapi["paths"].items() for method in methods}
    assert described == calls


def test_generated_clients_have_a_short_name_for_every_call(openapi: dict[str, Any]) -> None:
    names = [call["operationId"] for calls in openapi["paths"].values() for call in calls.values()]
    assert len(set(names)) == len(names)
    assert [name for name in names if len(name) > 40] == []


def test_the_document_says_of_fields_what_stands_under_them_in_the_source(openapi: dict[str, Any]) -> None:
    fields = openapi["components"]["schemas"]["ScheduleBody"]["properties"]
    assert fields["jitter"]["description"] == "Seconds that a fire may be late, by chance."


def test_what_drives_executions_is_shown_by_examples_that_fit(openapi: dict[str, Any]) -> None:
    nouns = ("Schedule", "Backfill", "Preset", "Webhook", "Notification", "Publication")
    for name in (f"{noun}Body" for noun in nouns):
        examples = openapi["components"]["schemas"][name]["examples"]
        form = {"$ref": f"#/components/schemas/{name}", "components": openapi["components"]}
        assert examples
        assert [example for example in examples if not jsonschema_rs.is_valid(form, example)] == []


def test_every_module_that_the_architecture_names_exists() -> None:
    text = (ROOT / "docs/architecture.md").read_text().split("## Where what lives")[1]
    for row in re.findall(r"^\| (`app/.+?) \|", text, re.MULTILINE):
        first, *others = re.findall(r"`([\w/.]+)`", row)
        for name in (first, *(each if "app/" in each else f"{Path(first).parent}/{each}" for each in others)):
            assert (ROOT / name).exists(), name


def test_the_architecture_names_every_package() -> None:
    text = (ROOT / "docs/architecture.md").read_text().split("## Where what lives")[1]
    packages = {f"app/{path.parent.name}/" for path in (ROOT / "app").glob("*/__init__.py")}
    assert packages <= set(re.findall(r"`(app/\w+/)`", text))


def test_the_readme_shows_the_first_graph_as_it_is() -> None:
    assert (ROOT / "examples/first_graph.py").read_text() in blocks_of(ROOT / "README.md", "python")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_valid_graph(path: Path) -> None:
    document = json.loads(path.read_text())
    assert set(document) == {"name", "description", "nodes", "links"}
    assert not validate_graph(definition_from_json(document), make_registry().signatures)


def test_the_reference_of_the_blocks_is_current() -> None:
    page = (ROOT / "docs/reference/blocks.md").read_text()
    assert page == write_reference(make_registry()), "run `make docs`"


def test_the_block_of_the_howto_works_and_passes_its_own_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    block, _, test = blocks_of(ROOT / "docs/howto/add-a-block.md", "python")
    assert len(block.splitlines()) + len(test.splitlines()) < 40
    module = types.ModuleType("app.blocks.library.slugs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(block, module.__dict__)
    tests: dict[str, object] = {}
    exec(test, tests)
    for name, check in tests.items():
        if name.startswith("test_") and callable(check):
            check()

    made = module.MakeSlugBlock()
    assert str(uuid.UUID(made.id)) == made.id
    assert made.signature.slug == "make_slug_block"
    registry = make_registry()
    assert registry.get(made.id) is None
    assert registry.get(made.signature.slug) is None


def test_the_block_of_the_howto_is_written_as_blocks_are_here() -> None:
    block, _, test = blocks_of(ROOT / "docs/howto/add-a-block.md", "python")
    for code, path in ((block, "app/blocks/library/slugs.py"), (test, "tests/unit/blocks/test_slugs.py")):
        command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--stdin-filename", path, "-"]
        checked = subprocess.run(command, cwd=ROOT, input=code, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stdout

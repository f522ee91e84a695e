"""Every block is tried by some test, and blocks of AutoGPT have the ids, pins and defaults that exported agents need.

`autogpt_blocks.tsv` holds what exported agents count on: id, class name, `static` or not, inputs with their defaults as
JSON (`*`: required; `?`: not compared) and outputs, `error` left out. It also names blocks that are not here yet.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.blocks.base import Block
from app.blocks.registry import make_registry

HERE = Path(__file__).parent
REGISTRY = make_registry()

ADDED_PINS = {
    "HumanInTheLoopBlock": {
        "instructions",
        "timeout_seconds",
        "schema",
        "remind_after_seconds",
        "timed_out",
    },
    "SendEmailBlock": {"from_email"},
    "SQLQueryBlock": {"parameters", "encryption"},
}
"""Pins of our own, none of them required."""
OTHERWISE_REQUIRED = {
    # Exports carry schemas and a version that we read from the graph itself, and a user whom we know already.
    "AgentExecutorBlock": {"user_id", "graph_version", "inputs", "input_schema", "output_schema"},
}
NOT_HERE = {
    "AIImageGeneratorBlock",
    "AIShortformVideoCreatorBlock",
    "AirtableCreateBaseBlock",
    "AirtableCreateRecordsBlock",
    "CreateTalkingAvatarVideoBlock",
    "DataForSeoKeywordSuggestionsBlock",
    "DataForSeoRelatedKeywordsBlock",
    "GmailAddLabelBlock",
    "GmailForwardBlock",
    "GmailReadBlock",
    "GmailReplyBlock",
    "GmailSendBlock",
    "GoogleCalendarReadEventsBlock",
    "GoogleSheetsReadBlock",
    "GoogleSheetsWriteBlock",
    "IdeogramModelBlock",
    "PublishToMediumBlock",
    "ReadDiscordMessagesBlock",
    "ReplicateFluxAdvancedModelBlock",
    "ReplicateModelBlock",
    "SearchOrganizationsBlock",
    "SearchPeopleBlock",
    "SendDiscordMessageBlock",
    "TranscribeYoutubeVideoBlock",
    "UnrealTextToSpeechBlock",
    "ValidateEmailsBlock",
    "WordPressCreatePostBlock",
}
"""Blocks that need an account with one company. Imported agents keep their nodes, which fail when they fire."""
ALSO_GENERAL = {"test_registry.py", "test_conformance.py"}
"""Files that name blocks without trying them."""
TESTS = {
    path: set(re.findall(r"\w+", path.read_text()))
    for folder in ("unit/blocks", "integration", "e2e")
    for path in (HERE.parents[1] / folder).glob("*.py")
    if path.name not in ALSO_GENERAL
}
"""The words of each file of tests."""


@dataclass(frozen=True)
class Facts:
    """What exported agents count on."""

    id: str
    name: str
    is_static: bool
    required: frozenset[str]
    defaults: dict[str, Any]
    """Of those inputs whose default is compared."""
    inputs: frozenset[str]
    outputs: frozenset[str]

    @classmethod
    def of(cls, line: str) -> Facts:
        id, name, static, inputs, outputs = line.split("\t")
        required, defaults, names = set[str](), dict[str, Any](), set[str]()
        for text in inputs.split():
            pin, _, default = text.partition("=")
            names.add(pin.removesuffix("*"))
            if pin.endswith("*"):
                required.add(pin.removesuffix("*"))
            elif default != "?":
                defaults[pin] = json.loads(default)
        return cls(
            id,
            name,
            static == "static",
            frozenset(required),
            defaults,
            frozenset(names),
            frozenset(outputs.split()),
        )


FACTS = [Facts.of(line) for line in (HERE / "autogpt_blocks.tsv").read_text().splitlines()]
HERE_ALREADY = [
    pytest.param(facts, REGISTRY.require(facts.id), id=facts.name)
    for facts in FACTS
    if REGISTRY.get(facts.id)
]


def test_only_blocks_that_need_one_company_are_missing() -> None:
    assert {facts.name for facts in FACTS if REGISTRY.get(facts.id) is None} <= NOT_HERE
    assert len(REGISTRY) >= 100


def test_no_block_has_the_name_of_an_autogpt_block_with_another_id() -> None:
    ids = {facts.name: facts.id for facts in FACTS}
    assert [block.name for block in REGISTRY if ids.get(block.name, block.id) != block.id] == []


@pytest.mark.parametrize(("facts", "block"), HERE_ALREADY)
class TestABlockOfAutoGPT:
    def test_it_has_the_name_and_the_pins(self, facts: Facts, block: Block) -> None:
        added = ADDED_PINS.get(facts.name, set())

        assert block.name == facts.name
        assert set(block.signature.inputs) - added == facts.inputs
        assert set(block.Output.model_fields) - added == facts.outputs

    def test_it_requires_the_same_pins(self, facts: Facts, block: Block) -> None:
        # Credentials are chosen when a graph is executed, so a block can be called without.
        required = facts.required - {"credentials"} - OTHERWISE_REQUIRED.get(facts.name, set())

        assert block.signature.required == required

    def test_its_links_are_static_or_not(self, facts: Facts, block: Block) -> None:
        assert block.is_static is facts.is_static

    def test_it_has_the_same_defaults(self, facts: Facts, block: Block) -> None:
        ours = {
            name: json.loads(json.dumps(field.get_default(call_default_factory=True), default=_plain))
            for name, field in _fields(block).items()
            if name in facts.defaults
        }
        assert ours == facts.defaults


@pytest.mark.parametrize("name", [block.name for block in REGISTRY])
def test_every_block_is_tried_by_some_test(name: str) -> None:
    names = {name, REGISTRY.require(name).signature.slug}

    assert [path for path, words in TESTS.items() if names & words]


def _fields(block: Block) -> dict[str, Any]:
    return {field.alias or name: field for name, field in block.Input.model_fields.items()}


def _plain(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else str(value)

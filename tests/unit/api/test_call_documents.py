"""Schemas of published graphs in an OpenAPI document: what they refer to is where references of a document lead."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import jsonschema_rs

from app.api.published.call_documents import GENERIC_PATH, CallDocuments
from app.api.schemas.publications import PublicationView
from app.api.services.publications import Publications
from app.models.publications import Stamp

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCHEMA = {
    "type": "object",
    "properties": {
        "tree": {"$ref": "#/$defs/Tree"},
        "default": {"anyOf": [{"$ref": "#/$defs/Tree"}], "default": {"$ref": "#/$defs/Tree"}},
    },
    "required": ["tree"],
    "$defs": {
        "Tree": {"type": "object", "properties": {"of": {"$ref": "#/$defs/Tree"}}, "required": ["name"]}
    },
}
GENERIC = {
    "parameters": [{"name": "slug", "in": "path"}, {"name": "mode", "in": "query"}],
    "responses": {"200": {"content": {"application/json": {}}}},
}
DOCUMENT = {
    "paths": {GENERIC_PATH: {"post": GENERIC}},
    "components": {"schemas": {"RunView": {"type": "object"}, "Other": {}}},
}


class Published(Publications):
    """What is published, without a place where it is kept."""

    def __init__(self) -> None:
        self.stamps: list[Stamp] = []
        self.asked = 0

    async def find_stamps(self, owner: str) -> Sequence[Stamp]:
        return list(self.stamps)

    async def find(self, owner: str, *, tools_only: bool = False) -> list[PublicationView]:
        self.asked += 1
        return [
            PublicationView(
                graph_id=uuid.uuid4(),
                slug="plant",
                graph_version=None,
                preset_id=None,
                description="",
                is_tool=False,
                budget=None,
                calls_per_minute=None,
                url="/api/run/plant",
                runs_version=1,
                input_schema=SCHEMA,
                output_schema={**SCHEMA, "required": []},
                created_at=NOW,
                updated_at=NOW,
            )
        ]


async def test_definitions_of_schemas_move_into_the_document() -> None:
    document = json.loads(await CallDocuments(Published()).describe_all("ann", DOCUMENT))
    operation = document["paths"]["/api/run/plant"]["post"]
    assert [given["name"] for given in operation["parameters"]] == ["mode"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    inputs = jsonschema_rs.validator_for({**schema, "components": document["components"]})
    assert inputs.is_valid({"tree": {"name": "a", "of": {"name": "b"}}})
    assert not inputs.is_valid({"tree": {"name": "a", "of": {}}})
    assert not inputs.is_valid({"tree": {"name": "a"}, "default": {}})
    assert schema["properties"]["default"]["default"] == {"$ref": "#/$defs/Tree"}, "a value is no reference"
    assert set(document["components"]["schemas"]) == {
        "RunView",
        "Other",
        "run.plant.input.Tree",
        "run.plant.output.Tree",
    }
    paths = cast("dict[str, Any]", DOCUMENT["paths"])
    assert set(paths) == {GENERIC_PATH}, "the document of all others stays as it is"


async def test_a_document_is_made_again_when_something_has_changed() -> None:
    published = Published()
    documents = CallDocuments(published)
    for _ in range(3):
        await documents.describe_all("ann", DOCUMENT)
    assert published.asked == 1
    published.stamps.append((uuid.uuid4(), NOW, 2, None))
    await documents.describe_all("ann", DOCUMENT)
    assert published.asked == 2
    await documents.describe_all("bob", DOCUMENT)
    assert published.asked == 3

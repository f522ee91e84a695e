"""Describes published graphs as calls of the API: OpenAPI, each with what it takes and gives."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from app.api.schemas.publications import PublicationView
from app.api.services.publications import Publications
from app.models.publications import Stamp

REMEMBERED = 100
"""Documents of so many users are kept; one may have megabytes."""
GENERIC_PATH = "/api/run/{slug}"
_VALUES = frozenset({"default", "enum", "const", "examples"})
"""Parts of a schema that are values: what looks like a reference there is none."""
_DEFINITIONS = "#/$defs/"
_SCHEMAS = "#/components/schemas/"


class CallDocuments:
    """Makes the documents of owners, and keeps those that were asked for last."""

    def __init__(self, publications: Publications) -> None:
        """Take what knows what is published."""
        self._publications = publications
        self._made: OrderedDict[str, tuple[Sequence[Stamp], bytes]] = OrderedDict()

    async def describe_all(self, owner: str, document: Mapping[str, Any]) -> bytes:
        """Return a document in JSON, with a call for each graph that an owner has published.

        Args:
            owner: Whose graphs.
            document: Of the API itself.
        """
        stamps = await self._publications.find_stamps(owner)
        made = self._made.get(owner)
        if made is None or made[0] != stamps:
            views = await self._publications.find(owner)
            made = stamps, await asyncio.to_thread(_write, document, views)
            self._made[owner] = made
            if len(self._made) > REMEMBERED:
                self._made.popitem(last=False)
        self._made.move_to_end(owner)
        return made[1]

    async def describe(self, owner: str, slug: str, document: Mapping[str, Any]) -> bytes:
        """Return a document in JSON of nothing but the call of one published graph.

        Raises:
            NotFound: There is nothing of that name.
        """
        view = await self._publications.view(await self._publications.require_slug(owner, slug))
        alone = {**document, "paths": {GENERIC_PATH: document["paths"][GENERIC_PATH]}}
        alone["info"] = {**document["info"], "title": view.slug, "description": view.description}
        return await asyncio.to_thread(_write, alone, [view], is_alone=True)


def _write(document: Mapping[str, Any], views: Sequence[PublicationView], *, is_alone: bool = False) -> bytes:
    components = {**document["components"], "schemas": dict(document["components"]["schemas"])}
    paths = dict(document["paths"])
    generic = paths.pop(GENERIC_PATH) if is_alone else paths[GENERIC_PATH]
    for view in views:
        paths[view.url] = {"post": _operation(generic["post"], view, components["schemas"])}
    if is_alone:
        components["schemas"] = _used(paths, components["schemas"])
    return json.dumps({**document, "paths": paths, "components": components}, separators=(",", ":")).encode()


def _operation(generic: Mapping[str, Any], view: PublicationView, schemas: dict[str, Any]) -> dict[str, Any]:
    inputs = _moved(view.input_schema, view.slug, "input", schemas)
    outputs = _moved(view.output_schema, view.slug, "output", schemas)
    operation = deepcopy(dict(generic))
    body = {"application/json": {"schema": inputs, "example": _example(inputs)}}
    answer = {
        "allOf": [{"$ref": f"{_SCHEMAS}RunView"}, {"type": "object", "properties": {"outputs": outputs}}]
    }
    operation["responses"]["200"]["content"]["application/json"] = {"schema": answer}
    return {
        **operation,
        "tags": ["published graphs"],
        "summary": view.slug,
        "description": view.description,
        "operationId": f"run_{view.slug}",
        "parameters": [given for given in operation["parameters"] if given["in"] != "path"],
        "requestBody": {"content": body, "required": bool(inputs.get("required"))},
    }


def _moved(schema: Mapping[str, Any], slug: str, role: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose definitions are among those of the document, where references of a document lead."""
    prefix = f"run.{slug}.{role}."
    definitions = schema.get("$defs", {})

    def led(value: Any, *, is_by_name: bool = False) -> Any:
        if isinstance(value, list):
            return [led(item) for item in value]
        if not isinstance(value, dict):
            return value
        if is_by_name:
            return {name: led(item) for name, item in value.items()}
        moved = {
            key: item if key in _VALUES else led(item, is_by_name=key == "properties")
            for key, item in value.items()
        }
        target = value.get("$ref")
        if isinstance(target, str) and target.startswith(_DEFINITIONS):
            moved["$ref"] = f"{_SCHEMAS}{prefix}{target.removeprefix(_DEFINITIONS)}"
        return moved

    for name, definition in definitions.items():
        schemas[prefix + name] = led(definition)
    moved: dict[str, Any] = led({key: value for key, value in schema.items() if key != "$defs"})
    return moved


def _example(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs as they may look: what has to be given, and what has a value of its own."""
    required = schema.get("required", [])
    return {
        name: _value(given)
        for name, given in schema.get("properties", {}).items()
        if name in required or "default" in given
    }


def _value(schema: Mapping[str, Any]) -> Any:
    if "default" in schema:
        return schema["default"]
    if schema.get("enum"):
        return schema["enum"][0]
    kinds: Mapping[str, Any] = {
        "string": "text",
        "integer": 1,
        "number": 1.5,
        "boolean": True,
        "array": [],
        "object": {},
    }
    return kinds.get(str(schema.get("type")), "text")


def _used(paths: Any, schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Return those schemas that something refers to, directly or by others."""
    used: dict[str, Any] = {}
    level = [paths]
    while level:
        value = level.pop()
        if isinstance(value, dict):
            target = value.get("$ref")
            name = target.removeprefix(_SCHEMAS) if isinstance(target, str) else ""
            if name in schemas and name not in used:
                used[name] = schemas[name]
                level.append(schemas[name])
            level += value.values()
        elif isinstance(value, list):
            level += value
    return used

"""The OpenAPI document, for people and for generators of clients: short names of calls, and what fields are for.

What a field is for stands under it in the source. It is read when the document is asked for: Pydantic would read it
while each class is made, before an API or a worker is ready.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.blocks.pin_texts import pin_texts

OURS = "app.api."
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9._-]")


def operation_id(route: APIRoute) -> str:
    """Return what generated clients call a call."""
    return f"admin_{route.name}" if "admin" in route.tags else route.name


class DocumentedApi(FastAPI):
    """An application whose document says what each field is for."""

    def openapi(self) -> dict[str, Any]:
        """Return the document, made by the first call."""
        if self.openapi_schema is None:
            describe_fields(super().openapi()["components"]["schemas"])
        document = self.openapi_schema
        assert document is not None
        return document


def describe_fields(schemas: dict[str, Any]) -> None:
    """Put the text of each field that has one into the schemas, by their names in the document."""
    models = {_NOT_IN_NAMES.sub("_", model.__name__): model for model in _models_below(BaseModel)}
    for name in schemas.keys() & models.keys():
        texts = pin_texts(models[name])
        for field, shown in schemas[name].get("properties", {}).items():
            if field in texts:
                shown.setdefault("description", " ".join(texts[field].split()))


def _models_below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in model.__subclasses__():
        if each.__module__.startswith(OURS):
            yield each
        yield from _models_below(each)

"""What the pins of blocks are for: the docstrings under their fields, read from the source when somebody asks.

Pydantic could read them too, but it does so while each class is made: hundreds of times before a worker is ready.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from types import MappingProxyType

from pydantic import BaseModel


@cache
def pin_texts(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the texts of the inputs or outputs that have one, by pin."""
    texts = {}
    for name, field in model.model_fields.items():
        text = field.description or _docstring_under(model, name)
        if text:
            texts[field.alias or name] = text
    return MappingProxyType(texts)


def _docstring_under(model: type[BaseModel], field: str) -> str | None:
    owner = next(base for base in model.__mro__ if field in inspect.get_annotations(base))
    return _docstrings_in(owner.__module__).get(f"{owner.__qualname__}.{field}")


@cache
def _docstrings_in(module: str) -> Mapping[str, str]:
    """Return the docstrings under the attributes of a module's classes, by qualified name."""
    try:
        source = inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):
        # A module without its source has nothing to say.
        return {}
    return dict(_walk(ast.parse(source), ""))


def _walk(parent: ast.AST, place: str) -> Iterator[tuple[str, str]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.ClassDef):
            yield from _attributes(node, f"{place}{node.name}.")
            yield from _walk(node, f"{place}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _walk(node, f"{place}{node.name}.<locals>.")
        elif isinstance(node, ast.stmt):
            yield from _walk(node, place)


def _attributes(definition: ast.ClassDef, place: str) -> Iterator[tuple[str, str]]:
    for attribute, below in pairwise(definition.body):
        match attribute, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ):
                yield f"{place}{name}", inspect.cleandoc(text)

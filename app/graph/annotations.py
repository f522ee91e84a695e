"""Reads Python type annotations: what one is when bare, what a union offers, what lies inside a container."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue

from app.graph.pins import Step, StepKind

_LISTS = (list, tuple, set, frozenset, Sequence)
_OBJECTS = (dict, Mapping)


def bare(annotation: Any) -> Any:
    """Return an annotation without `Annotated` and type aliases. Any JSON value is `Any`."""
    while True:
        if annotation is JsonValue or annotation is object:
            return Any
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            return annotation


def members(annotation: Any) -> tuple[Any, ...]:
    """Return what a union is made of, in the order it was written; of anything else the annotation alone."""
    annotation = bare(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def without_none(annotation: Any) -> Any:
    """Return an annotation without the null it may allow."""
    annotation = bare(annotation)
    offered = members(annotation)
    rest = tuple(member for member in offered if member is not types.NoneType)
    if len(rest) == len(offered) or not rest:
        return annotation
    return Union[rest]  # noqa: UP007  (made at run time, of any number of members)


def annotation_at(annotation: Any, steps: Sequence[Step]) -> Any:
    """Return the type at the end of some steps, or `Any` where it is not known."""
    for step in steps:
        inside = [_inside(bare(member), step) for member in members(annotation)]
        known = [found for found in inside if found is not None]
        if len(known) != 1:
            return Any
        annotation = known[0]
    return annotation


def _inside(annotation: Any, step: Step) -> Any:
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if step.kind is StepKind.INDEX:
        is_uniform = len(arguments) == 1 or arguments[1:] == (Ellipsis,)
        return arguments[0] if origin in _LISTS and is_uniform else None
    if origin in _OBJECTS:
        return arguments[1] if arguments else None
    if isinstance(origin, type) and issubclass(origin, BaseModel) and step.key in origin.model_fields:
        return origin.model_fields[str(step.key)].annotation
    return None

"""What each kind of type accepts as it is, and how it makes other values fit. `coercion` is the way in."""

from __future__ import annotations

import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from app.graph.annotations import bare
from app.graph.conversion import COLLECTIONS, to_list, to_object, to_real, to_text, to_truth, to_whole


class Shape(ABC):
    """A type, as far as values are fitted to it."""

    can_change = True
    """Whether `convert` ever gives anything but what it was given."""

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Answer whether a value is of this type as it is."""

    def convert(self, value: Any) -> Any:
        """Return what a value that is not accepted becomes."""
        return value

    def coerce(self, value: Any) -> Any:
        """Return the value, converted if that is needed."""
        if not self.can_change or self.accepts(value):
            return value
        return self.convert(value)


class _Anything(Shape):
    can_change = False

    def accepts(self, value: Any) -> bool:
        return True


class _Nothing(Shape):
    can_change = False

    def accepts(self, value: Any) -> bool:
        return value is None


class _Scalar(Shape):
    """A value without parts. A boolean is no number; an integer will do where any number will."""

    def __init__(self, kinds: tuple[type, ...], convert: Callable[[Any], Any]) -> None:
        self._kinds = kinds
        self._refuses_bool = bool not in kinds
        self._convert = convert

    def accepts(self, value: Any) -> bool:
        return isinstance(value, self._kinds) and not (self._refuses_bool and isinstance(value, bool))

    def convert(self, value: Any) -> Any:
        return self._convert(value)


class _Items(Shape):
    """A list, or a collection that JSON writes as one."""

    def __init__(self, element: Shape, *, kind: type[Any] = list) -> None:
        self._element = element
        self._kinds = (list, kind)

    def accepts(self, value: Any) -> bool:
        if not isinstance(value, self._kinds):
            return False
        return isinstance(self._element, _Anything) or all(self._element.accepts(item) for item in value)

    def convert(self, value: Any) -> Any:
        return [self._element.coerce(item) for item in to_list(value)]

    def coerce(self, value: Any) -> Any:
        if isinstance(value, self._kinds) and not self._element.can_change:
            return value
        return super().coerce(value)


class _Row(Shape):
    """A list of a fixed length, each place of its own type."""

    def __init__(self, elements: Sequence[Shape]) -> None:
        self._elements = elements

    def accepts(self, value: Any) -> bool:
        if not isinstance(value, list | tuple) or len(value) != len(self._elements):
            return False
        return all(shape.accepts(item) for shape, item in zip(self._elements, value, strict=True))

    def convert(self, value: Any) -> Any:
        items = to_list(value)
        if len(items) != len(self._elements):
            return items
        return [shape.coerce(item) for shape, item in zip(self._elements, items, strict=True)]


class _Entries(Shape):
    """An object, its keys of one type and its values of one type."""

    def __init__(self, key: Shape, value: Shape) -> None:
        self._key = key
        self._value = value

    def accepts(self, value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        if not isinstance(self._key, _Anything) and not all(map(self._key.accepts, value)):
            return False
        return isinstance(self._value, _Anything) or all(map(self._value.accepts, value.values()))

    def convert(self, value: Any) -> Any:
        return {self._key.coerce(key): self._value.coerce(item) for key, item in to_object(value).items()}


class _Choice(Shape):
    """One of some fixed values."""

    can_change = False

    def __init__(self, choices: Iterable[Any]) -> None:
        self._choices = tuple(choices)

    def accepts(self, value: Any) -> bool:
        if isinstance(value, Enum):
            value = value.value
        return any(type(choice) is type(value) and choice == value for choice in self._choices)


class _Either(Shape):
    """A union: unchanged if any member takes it, else as the first member that can make it fit."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self._shapes = shapes
        self.can_change = any(shape.can_change for shape in shapes)

    def accepts(self, value: Any) -> bool:
        return any(shape.accepts(value) for shape in self._shapes)

    def convert(self, value: Any) -> Any:
        for shape in self._shapes:
            converted = shape.convert(value)
            if shape.accepts(converted):
                return converted
        return value


class Opaque(Shape):
    """A model, or any other type whose values pydantic reads."""

    can_change = False

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation
        self._adapter: TypeAdapter[Any] | None = None
        self._is_known = True

    def accepts(self, value: Any) -> bool:
        """Answer whether pydantic's lax mode reads a value as this type."""
        adapter = self.adapter
        if adapter is None:
            return not isinstance(self._annotation, type) or isinstance(value, self._annotation)
        try:
            adapter.validate_python(value)
        except ValidationError:
            return False
        return True

    @property
    def adapter(self) -> TypeAdapter[Any] | None:
        """Return pydantic's reader of this type, or None for a type that it does not know."""
        if self._adapter is None and self._is_known:
            try:
                self._adapter = TypeAdapter(self._annotation)
            except PydanticUserError:
                self._is_known = False
        return self._adapter


_SHAPES: Mapping[Any, Shape] = {
    Any: _Anything(),
    None: _Nothing(),
    types.NoneType: _Nothing(),
    str: _Scalar((str,), to_text),
    int: _Scalar((int,), to_whole),
    float: _Scalar((float, int), to_real),
    bool: _Scalar((bool,), to_truth),
}


def make_shape(annotation: Any) -> Shape:
    """Return the shape of a type."""
    annotation = bare(annotation)
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if isinstance(origin, type) and issubclass(origin, Enum):
        return _Choice(member.value for member in origin)
    if origin in (Union, types.UnionType):
        return _Either([make_shape(member) for member in arguments])
    if origin is Literal:
        return _Choice(arguments)
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return _Row([make_shape(argument) for argument in arguments])
    if origin in COLLECTIONS or origin is Sequence:
        element = make_shape(arguments[0] if arguments else Any)
        return _Items(element, kind=list if origin is Sequence else origin)
    if origin in (dict, Mapping):
        key, value = arguments or (Any, Any)
        return _Entries(make_shape(key), make_shape(value))
    return _SHAPES.get(origin) or Opaque(annotation)

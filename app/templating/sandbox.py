"""The environment that templates live in: JSON values in, text out, and no way to anything else.

Attributes are an allow-list by type, every loop, call and operator spends from a budget, and nothing is computed while
a template is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from jinja2 import StrictUndefined, Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from app.errors import BlockLimitExceeded
from app.templating.bounds import (
    bound_format,
    bound_join,
    bound_power,
    bound_printf,
    bound_product,
    bound_replace,
    bound_sum,
    bound_width,
)
from app.templating.budget import Budget, current_budget
from app.templating.filters import CONCATENATED, COUNTED, make_filters

MAX_RANGE = 10_000

_OF_TEXT = (
    "capitalize casefold center count endswith find format format_map index isalnum isalpha isdecimal isdigit "
    "islower isnumeric isspace istitle isupper join ljust lower lstrip partition removeprefix removesuffix "
    "replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title "
    "upper zfill"
)
_OF_LOOP = "changed cycle depth depth0 first index index0 last length nextitem previtem revindex revindex0"

_ATTRIBUTES: Mapping[type, frozenset[str]] = {
    str: frozenset(_OF_TEXT.split()),
    dict: frozenset({"get", "items", "keys", "values"}),
    list: frozenset({"count", "index"}),
    tuple: frozenset({"count", "index"}),
    LoopContext: frozenset(_OF_LOOP.split()),
    Cycler: frozenset({"current", "next", "reset"}),
}


def _bounded_range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > MAX_RANGE:
        raise BlockLimitExceeded(f"`range` gives at most {MAX_RANGE:,} numbers")
    return numbers


@pass_context
def _written(_: Context, value: Any) -> Any:
    # Taking the context keeps the compiler from writing constants out while it compiles.
    current_budget().measure(value)
    return value


class _Metering(NodeTransformer):
    """Puts a meter on every loop and on every `~`."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - the visitor's own naming
        self.generic_visit(node)
        node.iter = _filtered(node.iter, COUNTED)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Concat | nodes.Filter:  # noqa: N802 - as above
        self.generic_visit(node)
        listed = _filtered(nodes.List(node.nodes, lineno=node.lineno), CONCATENATED)
        return _filtered(listed, "join")


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _concat(pieces: Iterable[str]) -> str:
    found = list(pieces)
    current_budget().make(sum(map(len, found)))
    return "".join(found)


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """An environment whose templates can be written by anybody."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    concat = staticmethod(_concat)

    def __init__(self, *, escape_html: bool = False, is_strict: bool = False) -> None:
        super().__init__(
            autoescape=escape_html,
            undefined=StrictUndefined if is_strict else Undefined,
            optimized=False,
            finalize=_written,
            cache_size=0,
        )
        self.filters = make_filters()
        self.globals = {
            "range": _bounded_range,
            "dict": dict,
            "namespace": Namespace,
            "cycler": Cycler,
            "joiner": Joiner,
        }

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return cast("nodes.Template", _Metering().visit(super()._parse(source, name, filename)))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Answer whether a template may see an attribute: only those on the list."""
        if isinstance(obj, Namespace):
            return not attr.startswith("_")
        return any(isinstance(obj, kind) and attr in names for kind, names in _ATTRIBUTES.items())

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return `obj.attribute`. A key of an object goes before a method that is not allowed anyway."""
        if isinstance(obj, dict) and attribute in obj and attribute not in _ATTRIBUTES[dict]:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return a `format` method that refuses to make huge texts."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        template = str(value.__self__)

        def bounded(*args: Any, **kwargs: Any) -> str:
            bound_format(current_budget(), template, [*args, kwargs])
            return wrapped(*args, **kwargs)

        return bounded

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return `left operator right`, if it is small enough."""
        budget = current_budget()
        budget.step()
        if operator == "+":
            bound_sum(budget, left, right)
        elif operator == "*":
            bound_product(budget, left, right)
        elif operator == "**":
            bound_power(left, right)
        elif isinstance(left, str):
            bound_printf(budget, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function or a method from a template."""
        budget = current_budget()
        budget.step()
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str):
            args = _bound_method(budget, owner, function.__name__, args)
        if isinstance(function, Undefined) and function._undefined_exception is SecurityError:  # noqa: SLF001 - no other way to tell
            raise SecurityError
        return super().call(context, function, *args, **kwargs)


def _bound_method(budget: Budget, text: str, method: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    if method == "join" and args:
        return (bound_join(budget, text, args[0]), *args[1:])
    if method == "replace" and len(args) > 1:
        bound_replace(budget, text, str(args[0]), str(args[1]))
    elif method in ("center", "ljust", "rjust", "zfill") and args:
        bound_width(budget, args[0])
    budget.make(len(text))
    return args

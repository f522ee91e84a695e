"""Renders texts with values in them: the templates of blocks and the placeholders of prompts.

A template may come from anybody. What it can reach is decided in `template_sandbox`, what it can spend in
`template_budget`; an error never quotes the template or a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Template
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.filters import FILTERS

from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from app.json_values import to_json
from app.templating.budget import MAX_TEXT_CHARACTERS, spending
from app.templating.sandbox import TemplateEnvironment

MAX_TEMPLATE_CHARACTERS = 200_000
MAX_TAGS = 5_000
MAX_EXPRESSION_CHARACTERS = 2_000

_PLAIN = TemplateEnvironment()
_ESCAPING = TemplateEnvironment(escape_html=True)
_STRICT = TemplateEnvironment(is_strict=True)

_TAG = re.compile(r"\{[{%#]")
_LINE_END = re.compile(r"\r\n|\r")
_NO_FILTER = re.compile(r"No (filter|test) named '(\w{1,40})'")
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}\s]{1,100})\s*\}\}|\{([^{}\s]{1,100})\}")

_RUNTIME_FAILURES = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)


def render(template: str, values: Mapping[str, Any], *, escape_html: bool = False) -> str:
    """Return a Jinja template with values filled in. A name without a value gives nothing.

    Args:
        template: At most 200,000 characters when there is an expression in it.
        values: JSON values by name.
        escape_html: Whether the text is HTML, so that values are escaped.

    Raises:
        BlockLimitExceeded: The rendering takes too many steps, too long, or makes too large a text.
        BlockInputInvalid: The template is not well formed.
        BlockError: It asks for something that is not there or not allowed.
    """
    if not _TAG.search(template):
        return _as_jinja_writes(template)
    _require_size(template)
    return _render(_ESCAPING if escape_html else _PLAIN, template, values)


def is_true(expression: str, values: Mapping[str, Any]) -> bool:
    """Answer whether an expression holds, such as `score > 5 and name != ""`.

    Raises:
        BlockInputInvalid: It is not one expression.
        BlockError: It uses a name without a value, or compares what has no order.
        BlockLimitExceeded: It takes too much.
    """
    if len(expression) > MAX_EXPRESSION_CHARACTERS:
        raise BlockLimitExceeded(f"A condition has at most {MAX_EXPRESSION_CHARACTERS:,} characters")
    if not expression.strip() or "%}" in expression or _TAG.search(expression):
        raise BlockInputInvalid("The condition is not an expression")
    return bool(_render(_STRICT, "{% if (" + expression + ") %}true{% endif %}", values))


def fill_placeholders(text: str, values: Mapping[str, Any]) -> str:
    """Return a text with `{name}` and `{{name}}` replaced by the value of that name.

    What has no value stays as it is, and a value is never searched for placeholders. A value that is no text is
    written as JSON.

    Raises:
        BlockLimitExceeded: The text would grow too large.
    """
    size = len(text)

    def fill(found: re.Match[str]) -> str:
        nonlocal size
        name = found[1] or found[2]
        if name not in values:
            return found[0]
        value = values[name]
        filled = value if isinstance(value, str) else _json_text(value)
        size += len(filled)
        if size > MAX_TEXT_CHARACTERS:
            raise BlockLimitExceeded(f"The text grows to more than {MAX_TEXT_CHARACTERS:,} characters")
        return filled

    return _PLACEHOLDER.sub(fill, text)


def _json_text(value: Any) -> str:
    return json.dumps(to_json(value), ensure_ascii=False)


def _as_jinja_writes(text: str) -> str:
    plain = _LINE_END.sub("\n", text)
    if len(plain) > MAX_TEXT_CHARACTERS:
        raise BlockLimitExceeded(f"The text has more than {MAX_TEXT_CHARACTERS:,} characters")
    return plain.removesuffix("\n")


def _require_size(template: str) -> None:
    if len(template) > MAX_TEMPLATE_CHARACTERS:
        raise BlockLimitExceeded(f"A template has at most {MAX_TEMPLATE_CHARACTERS:,} characters")
    if sum(1 for _ in _TAG.finditer(template)) > MAX_TAGS:
        raise BlockLimitExceeded(f"A template has at most {MAX_TAGS:,} tags")


@lru_cache(maxsize=256)
def _compile(environment: TemplateEnvironment, template: str) -> Template:
    return environment.from_string(template)


def _render(environment: TemplateEnvironment, template: str, values: Mapping[str, Any]) -> str:
    try:
        with spending():
            return _write(_compile(environment, template), values)
    except BlockError:
        raise
    except (RecursionError, MemoryError):
        raise BlockLimitExceeded("The template is nested too deep or makes too much") from None
    except TemplateSyntaxError as error:
        raise BlockInputInvalid(_syntax_message(error)) from None
    except SecurityError:
        raise BlockError("The template asks for something that is not allowed") from None
    except UndefinedError:
        raise BlockError("The template asks for something that is not there") from None
    except (TemplateError, SyntaxError):
        raise BlockInputInvalid("The template cannot be used as it is written") from None
    except _RUNTIME_FAILURES as error:
        raise BlockError(f"The template does not fit its values ({type(error).__name__})") from None


def _write(template: Template, values: Mapping[str, Any]) -> str:
    pieces: list[str] = []
    size = 0
    for piece in template.root_render_func(template.new_context(dict(values))):
        size += len(piece)
        if size > MAX_TEXT_CHARACTERS:
            raise BlockLimitExceeded(
                f"The template makes a text of more than {MAX_TEXT_CHARACTERS:,} characters"
            )
        pieces.append(piece)
    return "".join(pieces)


def _syntax_message(error: TemplateSyntaxError) -> str:
    missing = _NO_FILTER.search(error.message or "")
    if missing is None:
        return f"The template has a syntax error in line {error.lineno}"
    word, name = missing.groups()
    # A name that Jinja knows may be told; any other could be anything that stands in the template.
    known = f" `{name}`" if name in FILTERS else ""
    return f"The template uses a {word}{known} that does not exist here, in line {error.lineno}"

"""Runs inside the sandbox: executes Python code and shows the value of its last expression, as a notebook does."""

from __future__ import annotations

import ast
import asyncio
import base64
import inspect
import json
import linecache
import sys
import traceback
import types
from pathlib import Path
from typing import Any

CODE = Path("/tmp/.code")  # noqa: S108 - the sandbox's own
RESULTS = Path("/tmp/.results")  # noqa: S108 - the sandbox's own
NAME = "code.py"
MAX_TEXT_LENGTH = 100_000
KINDS = ("html", "markdown", "svg", "latex", "png", "jpeg", "pdf", "javascript")


def main() -> None:
    """Execute the code and write down what it shows."""
    source = CODE.read_text(encoding="utf-8", errors="surrogateescape")
    linecache.cache[NAME] = (len(source), None, source.splitlines(keepends=True), NAME)
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=NAME)
    sys.modules["__main__"] = module
    sys.path.insert(0, "")
    sys.argv = [NAME]
    try:
        value = execute(source, module.__dict__)
        shown = [] if value is None else [show(value)]
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the code raises is shown to its author
        traceback.print_exception(type(error), error, frames_of_the_code(error.__traceback__))
        raise SystemExit(1) from None
    RESULTS.write_text(json.dumps(shown), encoding="utf-8")


def execute(source: str, names: dict[str, Any]) -> Any:
    """Execute statements and return the value of the last one if it is an expression."""
    tree = ast.parse(source, NAME)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    run(compile(tree, NAME, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if not isinstance(last, ast.Expr):
        return None
    return run(compile(ast.Expression(last.value), NAME, "eval", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)


def run(code: types.CodeType, names: dict[str, Any]) -> Any:
    """Run compiled code, which may await at its top level."""
    value = eval(code, names)  # noqa: S307 - what the sandbox is for
    return asyncio.run(value) if code.co_flags & inspect.CO_COROUTINE else value


def frames_of_the_code(frames: types.TracebackType | None) -> types.TracebackType | None:
    """Leave out the frames of this file."""
    while frames and frames.tb_frame.f_code.co_filename != NAME:
        frames = frames.tb_next
    return frames


def show(value: Any) -> dict[str, Any]:
    """Return a value in the forms that it can be shown in."""
    shown: dict[str, Any] = {"text": repr(value)[:MAX_TEXT_LENGTH]}
    if isinstance(value, (dict, list)):
        try:
            shown["json"] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            pass
    for kind in KINDS:
        made = getattr(value, f"_repr_{kind}_", None)
        content = made() if callable(made) and not isinstance(value, type) else None
        if isinstance(content, bytes):
            content = base64.b64encode(content).decode()
        if isinstance(content, str):
            shown[kind] = content
    return shown


if __name__ == "__main__":
    main()

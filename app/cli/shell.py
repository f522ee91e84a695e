"""What every command works with: where the API is, who asks, and how an answer or a refusal is said."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, NoReturn, ParamSpec, get_type_hints

import typer

from app.cli.targets import TargetRefused, choose_target
from app.cli.texts import harmless

if TYPE_CHECKING:
    from perdure import ApiError, Client

RETRIES = 2
TIMEOUT_SECONDS = 120.0
UNAUTHENTICATED = 401

P = ParamSpec("P")


class ExitCode(IntEnum):
    """What a command ends with when it is not 0."""

    FAILED = 1
    """The API has refused, a file cannot be read or written, or an execution has failed."""
    MISUSED = 2
    """A wrong use; typer's, too."""
    UNREACHABLE = 3
    """The API did not answer."""
    DETACHED = 4
    """The execution that was followed goes on."""
    STOPPED = 130
    """The execution was stopped, or the command was by Ctrl-C."""


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ApiUrl = Annotated[str | None, typer.Option("--api-url", help="Where the API is. [env: PERDURE_API_URL]")]
ApiKey = Annotated[
    str | None, typer.Option("--api-key", help="An API key or a token. [env: PERDURE_API_KEY]")
]
Profile = Annotated[
    str | None, typer.Option("--profile", help="Both as a profile of yours says. [env: PERDURE_PROFILE]")
]


@dataclass(frozen=True, slots=True)
class Shell:
    """Where a command is given, and how it answers."""

    as_json: bool
    api_url: str | None
    api_key: str | None
    profile: str | None

    @contextmanager
    def api(self) -> Iterator[Client]:
        """Give a client; a refusal ends the command and is said."""
        from perdure import ApiError, Client  # noqa: PLC0415 - help comes without it, in a third of the time

        try:
            target = choose_target(url=self.api_url, key=self.api_key, profile=self.profile)
            client = Client(*target, timeout_seconds=TIMEOUT_SECONDS, retries=RETRIES)
        except (TargetRefused, ValueError) as error:
            fail(str(error))
        try:
            with client:
                yield client
        except ApiError as error:
            fail(said(error), code_of(error))
        except UnicodeEncodeError:
            fail("What was typed holds bytes that are no text", ExitCode.MISUSED)

    def answer(self, document: Any, lines: Iterable[str]) -> None:
        """Print an answer: as JSON when that is wanted, and else as lines for people."""
        if self.as_json:
            print(json.dumps(document, indent=2))
            return
        for line in lines:
            print(harmless(line))


def command(
    group: typer.Typer, name: str | None = None
) -> Callable[[Callable[Concatenate[Shell, P], None]], Callable[Concatenate[Shell, P], None]]:
    """Add a function to a group of commands, with the options that all commands have."""

    def add(function: Callable[Concatenate[Shell, P], None]) -> Callable[Concatenate[Shell, P], None]:
        group.command(name)(_with_common_options(function))
        return function

    return add


def callback(
    group: typer.Typer,
) -> Callable[[Callable[Concatenate[Shell, P], None]], Callable[Concatenate[Shell, P], None]]:
    """Let a function be what a group does by itself, with the options that all commands have."""

    def add(function: Callable[Concatenate[Shell, P], None]) -> Callable[Concatenate[Shell, P], None]:
        group.callback()(_with_common_options(function))
        return function

    return add


def _with_common_options(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def run(
        *args: Any,
        as_json: bool,
        api_url: str | None,
        api_key: str | None,
        profile: str | None,
        **given: Any,
    ) -> None:
        function(Shell(as_json, api_url, api_key, profile), *args, **given)

    common = {
        "as_json": (AsJson, False),
        "api_url": (ApiUrl, None),
        "api_key": (ApiKey, None),
        "profile": (Profile, None),
    }
    _, *own = inspect.signature(function, eval_str=True).parameters.values()
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in common.items()
    ]
    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    hints = get_type_hints(function, include_extras=True)
    # typer reads what a function takes from both.
    run.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]  # of a function
    run.__annotations__ = {
        **{name: hints[name] for name in (parameter.name for parameter in own)},
        **{name: annotation for name, (annotation, _) in common.items()},
    }
    return run


def fail(message: str, code: ExitCode = ExitCode.FAILED) -> NoReturn:
    """End the command with a message on standard error."""
    print(harmless(f"perdure: {message}"), file=sys.stderr)
    raise typer.Exit(code)


def code_of(error: ApiError) -> ExitCode:
    """Return what a command ends with after a refusal, or without an answer."""
    if error.code == "EXECUTION_CANCELLED":
        return ExitCode.STOPPED
    return ExitCode.FAILED if error.status else ExitCode.UNREACHABLE


def said(error: ApiError) -> str:
    """Return a refusal in words."""
    if error.status is None:
        return error.message
    lines = [f"{error.code} ({error.status}): {error.message}"]
    for node_id, fields in error.node_errors.items():
        lines += [f"  {node_id}.{field}: {message}" for field, message in fields.items()]
    lines += [f"  {field}: {message}" for field, message in error.field_errors.items()]
    if execution_id := error.details.get("execution_id"):
        lines.append(f"  It was execution {execution_id}")
    if error.status == UNAUTHENTICATED:
        lines.append("  Set PERDURE_API_KEY to an API key or to a token (`perdure token`).")
    return "\n".join(lines)

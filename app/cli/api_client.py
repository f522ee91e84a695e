"""The REST API as the command line calls it, and what it says when a call comes to nothing."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import IntEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    import httpx2 as httpx

TIMEOUT_SECONDS = 120.0


class ExitCode(IntEnum):
    """What a command ends with when it has not done its work. 2 is typer's, for a wrong use."""

    REFUSED = 1
    """The API has refused, or a file cannot be read or written."""
    UNREACHABLE = 3
    """The API did not answer."""


ApiUrl = Annotated[str, typer.Option("--api-url", envvar="PERDURE_API_URL", help="Where the API is.")]
ApiKey = Annotated[
    str,
    typer.Option("--api-key", envvar="PERDURE_API_KEY", help="An API key or a token.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]
DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class ApiClient:
    """Calls the API for whoever the key is of."""

    url: str
    key: str

    def call(
        self, method: str, path: str, *, body: Any = None, params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the answer to a call; end the command when it is a refusal, or there is none.

        Args:
            method: In capital letters.
            path: With its leading slash.
            body: JSON; None for no body.
            params: The query; what is None is left out.
        """
        import httpx2 as httpx  # noqa: PLC0415 - help and refusals come without it, in half the time

        query = {name: value for name, value in (params or {}).items() if value is not None}
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            response = httpx.request(
                method,
                self.url.rstrip("/") + path,
                json=body,
                params=query,
                headers=headers,
                timeout=TIMEOUT_SECONDS,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            fail(f"{self.url} cannot be reached ({type(error).__name__})", ExitCode.UNREACHABLE)
        # An answer without a body says that it is done.
        answer = {} if response.status_code == HTTPStatus.NO_CONTENT else _json_of(response)
        if not response.is_success or not isinstance(answer, dict):
            fail(_refusal_of(response.status_code, answer))
        return answer


def fail(message: str, code: ExitCode = ExitCode.REFUSED) -> NoReturn:
    """End the command with a message on standard error."""
    print(f"perdure: {message}", file=sys.stderr)
    raise typer.Exit(code)


def _json_of(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _refusal_of(status: int, answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return f"the API answered {status}"
    lines = [f"{error.get('error_code')} ({status}): {error.get('message')}"]
    details = error.get("details")
    problems = details.get("node_errors") if isinstance(details, dict) else None
    for node_id, fields in (problems or {}).items():
        lines += [f"  {node_id}.{field}: {message}" for field, message in fields.items()]
    if status == HTTPStatus.UNAUTHORIZED:
        lines.append("  Set PERDURE_API_KEY to an API key or to a token (`perdure token`).")
    return "\n".join(lines)

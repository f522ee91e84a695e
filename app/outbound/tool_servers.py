"""Calls tools of servers that speak MCP over HTTP: one session per call, nothing kept, no program started here.

Servers of the protocol up to 2025 are greeted first; one that wants no greeting is asked as the protocol of 2026 says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import BlockError, BlockUnavailable, Category
from app.outbound.http import OutboundHttp
from app.outbound.response import Response

GREETED_VERSION = "2025-11-25"
UNGREETED_VERSION = "2026-07-28"
CALL_TIMEOUT_SECONDS = 300.0
_GREETING_TIMEOUT_SECONDS = 30.0
_GOODBYE_TIMEOUT_SECONDS = 5.0
_CLIENT = {"name": "Perdure", "version": "1"}
_META = "io.modelcontextprotocol/"
_QUOTED = 500


class ToolServerRefused(BlockError):
    """The tool server does not let us in."""

    code = "CREDENTIALS_REFUSED"
    category = Category.AUTH


class _GreetingRefused(BlockError):
    """The server wants no greeting."""


@dataclass(slots=True)
class ToolServer:
    """A server as one call sees it."""

    http: OutboundHttp
    url: str
    token: str = field(default="", repr=False)
    """Sent as a bearer token; empty for none."""
    idempotency_key: str = ""
    """Of the call of the tool."""
    _version: str = GREETED_VERSION
    _session: str = ""

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a tool answered: `content`, perhaps `structuredContent` and `isError`.

        Raises:
            AddressRefused: The server is at an address that blocks may not reach.
            BlockUnavailable: It cannot be reached, or says that it will work later.
            ToolServerRefused: It does not accept the token.
            BlockError: It does not speak the protocol, or answers with an error.
        """
        params: dict[str, Any] = {"name": tool, "arguments": dict(arguments)}
        headers: dict[str, str] = {}
        try:
            await self._greet()
        except _GreetingRefused:
            self._version = UNGREETED_VERSION
            params["_meta"] = {
                f"{_META}protocolVersion": UNGREETED_VERSION,
                f"{_META}clientInfo": _CLIENT,
                f"{_META}clientCapabilities": {},
            }
            headers = {"Mcp-Method": "tools/call", "Mcp-Name": tool}
        try:
            response = await self._post("tools/call", params, headers=headers, is_call=True)
            return _result_of(response)
        finally:
            await self._say_goodbye()

    async def _greet(self) -> None:
        greeting = {"protocolVersion": GREETED_VERSION, "capabilities": {}, "clientInfo": _CLIENT}
        try:
            response = await self._post("initialize", greeting)
        except BlockUnavailable as error:
            # Nothing has been done there: a greeting may always be repeated.
            raise BlockUnavailable(error.message, retry_after_seconds=error.retry_after_seconds) from error
        if response.status_code in (400, 404, 405):
            raise _GreetingRefused
        try:
            answer = _result_of(response)
        except BlockError as error:
            if _message_of(response).get("error"):
                raise _GreetingRefused from error
            raise
        self._session = response.headers.get("mcp-session-id", "")
        version = answer.get("protocolVersion")
        self._version = version if isinstance(version, str) else GREETED_VERSION
        await self._post("notifications/initialized", None)

    async def _say_goodbye(self) -> None:
        if not self._session:
            return
        try:
            await self.http.request(
                "DELETE", self.url, headers=self._headers(), timeout_seconds=_GOODBYE_TIMEOUT_SECONDS
            )
        except BlockError:
            pass  # it will forget the session by itself

    async def _post(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        *,
        headers: Mapping[str, str] | None = None,
        is_call: bool = False,
    ) -> Response:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message |= {"id": 1, "params": params}
        sent = self._headers() | dict(headers or {})
        response = await self.http.request(
            "POST",
            self.url,
            headers=sent,
            json=message,
            idempotency_key=self.idempotency_key if is_call else None,
            secret_headers=sent,
            timeout_seconds=CALL_TIMEOUT_SECONDS if is_call else _GREETING_TIMEOUT_SECONDS,
        )
        code = response.status_code
        if code in (429, 503) or (code >= 500 and not is_call):
            raise BlockUnavailable(
                f"The tool server answered {code}", retry_after_seconds=response.retry_after_seconds
            )
        if code in (401, 403):
            raise ToolServerRefused(f"The tool server does not let this node in ({code})")
        return response

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": self._version}
        if self._session:
            headers["Mcp-Session-Id"] = self._session
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers


def _result_of(response: Response) -> dict[str, Any]:
    message = _message_of(response)
    error, result = message.get("error"), message.get("result")
    if isinstance(error, dict):
        raise BlockError(f"The tool server refused: {str(error.get('message'))[:_QUOTED]}")
    if not isinstance(result, dict):
        raise BlockError(f"The tool server does not answer as MCP has it ({response.status_code})")
    return result


def _message_of(response: Response) -> dict[str, Any]:
    """Return the answer to what was asked, empty when there is none."""
    is_stream = response.content_type == "text/event-stream"
    for text in _events_of(response.text) if is_stream else [response.text]:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            continue
        # Whatever else the server says on the way is not for us.
        if isinstance(message, dict) and ("result" in message or "error" in message):
            return message
    return {}


def _events_of(stream: str) -> Iterator[str]:
    for event in stream.replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        lines = [
            line.removeprefix("data:").removeprefix(" ") for line in event.split("\n") if line[:5] == "data:"
        ]
        if lines:
            yield "\n".join(lines)

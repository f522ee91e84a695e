"""Stand-in services on this machine: an OpenAI-compatible model server, and a web server to call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from email import message_from_bytes
from email.message import Message
from types import TracebackType
from typing import Any, Self

import uvicorn
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


class Served:
    """A server on a free port of this machine, in the test's own loop."""

    def __init__(self, app: ASGIApp) -> None:
        # It listens from now on, so nobody has to wait until the server runs.
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        self._server = QuietServer(config)

    async def __aenter__(self) -> Self:
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listening]))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        await self._serving
        self._listening.close()


class _Stub(Served):
    def __init__(self, routes: list[Route]) -> None:
        super().__init__(Starlette(routes=routes))
        self.let_go = asyncio.Event()
        """Ends what is held."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Nobody listens any more to what a test has left held, and its end would be waited for.
        self.let_go.set()
        await super().__aexit__(kind, error, traceback)


class QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to pytest."""
        yield


class LanguageModelStub(_Stub):
    """An OpenAI-compatible server (chat completions, also streamed). `url` ends where OpenAI's base URL ends.

    `requests` holds what was asked; `answer` is the text to give, or a function of the request that returns a text
    or a whole message; `latency_seconds` delays; `fail(500, times=2)` makes the next requests fail, until it
    is told to `recover()`.
    """

    def __init__(self) -> None:
        super().__init__(
            [
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/models", self._list_models),
            ]
        )
        self.url += "/v1"
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.answer: str | Callable[[dict[str, Any]], str | dict[str, Any]] = "A short answer."
        self.latency_seconds = 0.0
        self.usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        self.keys: list[str | None] = []
        """The idempotency keys of the requests."""
        self.let_go.set()
        self.hold_after: int | None = None
        self.held = 0
        """Requests that were held so far, before the first word."""
        self._failures: list[tuple[int, str | None]] = []

    def fail(self, status: int, *, times: int = 1, retry_after: str | None = None) -> None:
        """Answer the next requests with an error."""
        self._failures += [(status, retry_after)] * times

    def recover(self) -> None:
        """Answer as if it had never been told to fail."""
        self._failures.clear()

    async def _list_models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "gpt-4", "object": "model"}]})

    async def _complete(self, request: Request) -> Response:
        asked = await request.json()
        self.requests.append(asked)
        self.authorizations.append(request.headers.get("authorization"))
        self.keys.append(request.headers.get("idempotency-key"))
        await asyncio.sleep(self.latency_seconds)
        if self.hold_after is not None and len(self.requests) > self.hold_after:
            self.held += 1
            await self.let_go.wait()
        if self._failures:
            status, retry_after = self._failures.pop(0)
            error = {
                "message": "The stub was told to fail",
                "type": "stub_error",
                "code": None,
                "param": None,
            }
            headers = {"retry-after": retry_after} if retry_after else None
            return JSONResponse({"error": error}, status, headers)
        answer = self.answer(asked) if callable(self.answer) else self.answer
        message = {"role": "assistant", "content": answer} if isinstance(answer, str) else answer
        if asked.get("stream"):
            return StreamingResponse(self._stream(asked, message), media_type="text/event-stream")
        choice = {"index": 0, "message": message, "finish_reason": _finish_reason(message)}
        usage = self.usage_of(asked)
        return JSONResponse(_head(asked, "chat.completion") | {"choices": [choice], "usage": usage})

    def usage_of(self, asked: dict[str, Any]) -> dict[str, int]:
        """Return what an answer is said to have used."""
        return self.usage

    async def _stream(self, asked: dict[str, Any], message: dict[str, Any]) -> AsyncIterator[str]:
        head = _head(asked, "chat.completion.chunk")
        *first, last = _deltas(message)
        for delta in first:
            yield _chunk(head, delta)
        await self.let_go.wait()
        yield _chunk(head, last)
        yield _chunk(head, {}, _finish_reason(message))
        yield f"data: {json.dumps(head | {'choices': [], 'usage': self.usage_of(asked)})}\n\n"
        yield "data: [DONE]\n\n"


def _deltas(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a message in pieces: its text word by word, then the rest of it."""
    words = re.findall(r"\S*\s*", message.get("content") or "")[:-1]
    pieces = [{"role": "assistant", "content": word} for word in words]
    if message.get("tool_calls"):
        calls = [{**call, "index": index} for index, call in enumerate(message["tool_calls"])]
        pieces.append({"role": "assistant", "tool_calls": calls})
    return pieces or [{"role": "assistant", "content": ""}]


def _chunk(head: dict[str, Any], delta: dict[str, Any], reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return f"data: {json.dumps(head | {'choices': [choice]})}\n\n"


class SearchStub(_Stub):
    """A search engine that answers as SearXNG does. It finds one page, which it also serves; `queries` were asked."""

    text = (
        "The tower of the town hall is 61 metres high. It was finished in 1894, after nine years of building."
    )

    def __init__(self) -> None:
        super().__init__([Route("/search", self._search), Route("/page", self._page)])
        self.queries: list[str] = []

    async def _search(self, request: Request) -> Response:
        self.queries.append(request.query_params["q"])
        found = {"title": "The town hall", "url": f"{self.url}/page", "content": "All about its tower"}
        return JSONResponse({"results": [found] if "tower" in self.queries[-1] else []})

    async def _page(self, _: Request) -> Response:
        page = f"<html><body><nav>Home</nav><article><h1>The town hall</h1><p>{self.text}</p></article></body></html>"
        return Response(page, media_type="text/html")


class MailStub:
    """A mail server that knows one user. What it takes is in `messages`."""

    def __init__(self, username: str, password: str) -> None:
        self._known = (username.encode(), password.encode())
        self.messages: list[Message] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(self._make, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802 - its name there
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content))
        return "250 OK"

    def _make(self) -> SMTP:
        return SMTP(self, authenticator=self._log_in, auth_require_tls=False, hostname="mail")

    def _log_in(self, server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
        return AuthResult(success=(given.login, given.password) == self._known)


def _head(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-stub", "object": kind, "created": 1, "model": asked.get("model", "stub")}


def _finish_reason(message: dict[str, Any]) -> str:
    return "tool_calls" if message.get("tool_calls") else "stop"


class WebStub(_Stub):
    """A web server to call.

    `/echo` gives the request back, `/delay/SECONDS` answers late, `/held` once `let_go` is set, `/status/CODE` answers
    with a code, `/flaky/N` fails N times with 503 and then works, `/redirect?to=URL` redirects, `/large/BYTES` is long.
    Every call is in `requests`, and `calls` counts them by their Idempotency-Key.
    """

    def __init__(self) -> None:
        super().__init__(
            [
                Route("/echo", self._echo, methods=METHODS),
                Route("/delay/{seconds:float}", self._delay, methods=METHODS),
                Route("/held", self._hold, methods=METHODS),
                Route("/status/{code:int}", self._status, methods=METHODS),
                Route("/flaky/{failures:int}", self._flaky, methods=METHODS),
                Route("/hangs/{name}", self._hang, methods=METHODS),
                Route("/redirect", self._redirect, methods=METHODS),
                Route("/large/{size:int}", self._large, methods=METHODS),
            ]
        )
        self.requests: list[dict[str, Any]] = []
        self.calls: Counter[str] = Counter()
        self.hanging: set[str] = set()
        """Names under `/hangs` that are not answered in time; the others are at once."""
        self._flakes: Counter[str] = Counter()

    async def _note(self, request: Request) -> dict[str, Any]:
        noted = {
            "method": request.method,
            "path": request.url.path,
            "query": dict(request.query_params),
            "headers": dict(request.headers),
            "body": (await request.body()).decode(errors="replace"),
        }
        self.requests.append(noted)
        self.calls[request.headers.get("idempotency-key", "")] += 1
        return noted

    async def _echo(self, request: Request) -> Response:
        return JSONResponse(await self._note(request))

    async def _delay(self, request: Request) -> Response:
        noted = await self._note(request)
        await asyncio.sleep(request.path_params["seconds"])
        return JSONResponse(noted)

    async def _hold(self, request: Request) -> Response:
        noted = await self._note(request)
        await self.let_go.wait()
        return JSONResponse(noted)

    async def _status(self, request: Request) -> Response:
        noted = await self._note(request)
        return JSONResponse(noted, request.path_params["code"])

    async def _flaky(self, request: Request) -> Response:
        noted = await self._note(request)
        key = request.headers.get("idempotency-key", "") + str(request.url)
        self._flakes[key] += 1
        return JSONResponse(noted, 503 if self._flakes[key] <= request.path_params["failures"] else 200)

    async def _hang(self, request: Request) -> Response:
        noted = await self._note(request)
        await asyncio.sleep(60 if request.path_params["name"] in self.hanging else 0)
        return JSONResponse(noted)

    async def _redirect(self, request: Request) -> Response:
        await self._note(request)
        return RedirectResponse(request.query_params["to"], 302)

    async def _large(self, request: Request) -> Response:
        await self._note(request)
        return Response(b"x" * int(request.path_params["size"]), media_type="text/plain")

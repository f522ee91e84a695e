# Made of `perdure/_async` by `python -m tests.sync_client`. Changes belong there.
"""The client: one connection pool, one user, and what may be tried again is tried again."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, cast

import httpx2 as httpx

from perdure._sync.accounts import Credits, Keys
from perdure._sync.blocks import Blocks
from perdure._sync.driving import Presets, Schedules
from perdure._sync.executions import Executions
from perdure._sync.graphs import Graphs
from perdure._sync.notifications import Notifications
from perdure._sync.pausing import pause
from perdure._sync.publications import Publications
from perdure._sync.webhooks import Webhooks
from perdure.calls import Call, Target, pause_seconds, read_answer, unreachable

MAX_PAGE = 200


class Client:
    """Calls the API for whoever the key is of.

    Every call that changes something carries an `Idempotency-Key` of its own, so that trying it again after a lost
    connection does nothing twice. Whatever comes to nothing raises `ApiError`.
    """

    graphs: Graphs
    executions: Executions
    schedules: Schedules
    presets: Presets
    webhooks: Webhooks
    publications: Publications
    notifications: Notifications
    blocks: Blocks
    credits: Credits
    keys: Keys

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        retries: int = 3,
        patience_seconds: float = 60.0,
    ) -> None:
        """Take where the API is and who asks; without them `PERDURE_API_URL` and `PERDURE_API_KEY` say it.

        Args:
            url: Such as `https://perdure.example.org`.
            key: An API key or a token.
            timeout_seconds: How long the API may take for one attempt.
            retries: How often a call is made again when nobody answers, or the answer is a passing refusal.
            patience_seconds: How long events are waited for while nobody answers.

        Raises:
            ValueError: That is no URL, or no key.
        """
        self._target = Target.of(url, key)
        self._timeout_seconds = timeout_seconds
        self._retries = retries
        self.patience_seconds = patience_seconds
        self._http = httpx.Client(
            base_url=self._target.url,
            headers=self._target.headers,
            verify=self._target.verify,
            timeout=timeout_seconds,
        )
        self.graphs = Graphs(self)
        self.executions = Executions(self)
        self.schedules = Schedules(self)
        self.presets = Presets(self)
        self.webhooks = Webhooks(self)
        self.publications = Publications(self)
        self.notifications = Notifications(self)
        self.blocks = Blocks(self)
        self.credits = Credits(self)
        self.keys = Keys(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    @property
    def url(self) -> str:
        """Where the API is."""
        return self._target.url

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        key: str | None = None,
        extra_seconds: float = 0.0,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Make a call that no method is there for; return the JSON of its answer.

        Args:
            method: In capital letters.
            path: With its leading slash.
            params: The query; what is None is left out.
            body: JSON; None for no body.
            key: An `Idempotency-Key`, to repeat the call of an earlier process; one is made when left out.
            extra_seconds: How long the server itself may take on purpose.
            headers: What to say beside who asks.

        Raises:
            ApiError: It was refused, or nobody answered.
        """
        call = Call(method, path, params or {}, body, key, extra_seconds, headers or {}).prepared()
        arguments = call.request_arguments(self._timeout_seconds)
        attempt = 0
        while True:
            attempt += 1
            response: httpx.Response | None = None
            try:
                response = self._http.request(**arguments)
            except httpx.RequestError as error:
                if attempt > self._retries:
                    raise unreachable(self.url, error) from error
            rest_seconds = pause_seconds(attempt, response)
            if response is not None and (rest_seconds is None or attempt > self._retries):
                return read_answer(response)
            pause(rest_seconds or 0.0)

    def items(
        self, path: str, *, params: Mapping[str, Any] | None = None, limit: int | None = None
    ) -> Iterator[Any]:
        """Give the items of a list, page after page.

        Args:
            path: Of the list.
            params: The query.
            limit: The most to give; all of them when left out.

        Raises:
            ApiError: A page was refused, or nobody answered.
        """
        left = limit
        cursor = None
        while left is None or left > 0:
            size = MAX_PAGE if left is None else min(left, MAX_PAGE)
            page = self.call("GET", path, params={**(params or {}), "limit": size, "cursor": cursor})
            for item in page["items"][:left]:
                yield item
            left = None if left is None else left - len(page["items"])
            cursor = cast("str | None", page["next_cursor"])
            if cursor is None:
                return

    def lines(
        self, path: str, *, params: Mapping[str, Any], headers: Mapping[str, str], silence_seconds: float
    ) -> Generator[str]:
        """Give the lines of a stream until the connection ends, or nothing has come for so long.

        Raises:
            ApiError: It was refused, or the connection was lost.
        """
        timeout = httpx.Timeout(self._timeout_seconds, read=silence_seconds)
        call = self._http.stream("GET", path, params=params, headers=headers, timeout=timeout)
        try:
            with call as response:
                if not response.is_success:
                    response.read()
                    read_answer(response)
                for line in response.iter_lines():
                    yield line
        except httpx.RequestError as error:
            raise unreachable(self.url, error) from error

"""Stand-ins on 127.0.0.1 for a language model and a weather service, so that the examples need no network and no key.

`python -m examples.services` runs them in the foreground.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"
WEATHER = {"bern": {"sky": "Sunny", "celsius": 24}, "bergen": {"sky": "Rain", "celsius": 11}}
WORDS_OF_A_SUMMARY = 12


class Services:
    """A server that is running."""

    def __init__(self, url: str) -> None:
        """Keep where it is.

        Args:
            url: Without a slash at the end.
        """
        self.llm_base_url = f"{url}/v1"
        """Speaks as OpenAI does."""
        self.weather_url = f"{url}/weather"
        """Answers `/<place>`; the first request of each place with 503."""


@contextlib.contextmanager
def run_services(port: int = 0) -> Iterator[Services]:
    """Serve in a thread of this process.

    Args:
        port: 0 means any free one.
    """
    with _Server((HOST, port), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Services(f"http://{HOST}:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.places_asked: set[str] = set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer for the weather service."""
        place = self.path.removeprefix("/weather/")
        if place == self.path or place not in WEATHER:
            self._answer(404, {"message": f"There is no weather for {place[:80]}"})
        elif place not in self.server.places_asked:
            self.server.places_asked.add(place)
            self._answer(503, {"message": "Busy, ask again"}, {"Retry-After": "1"})
        else:
            self._answer(200, {"place": place, "weather": WEATHER[place]})

    def do_POST(self) -> None:
        """Answer for the language model."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        if self.path == "/v1/chat/completions":
            self._answer(200, _completion(body))
        else:
            self._answer(404, {"message": "There is nothing here"})

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _completion(request: dict[str, Any]) -> dict[str, Any]:
    """Return the first words of the last line that was sent: the same for the same question."""
    asked = str(request["messages"][-1]["content"])
    words = asked.strip().splitlines()[-1].split()
    answer = " ".join(words[:WORDS_OF_A_SUMMARY]).rstrip(".,;:") + (
        "…" if len(words) > WORDS_OF_A_SUMMARY else "."
    )
    used = {"prompt_tokens": len(asked.split()), "completion_tokens": len(answer.split())}
    return {
        "id": "chatcmpl-stand-in",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.get("model", ""),
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
        ],
        "usage": {**used, "total_tokens": sum(used.values())},
    }


def main() -> None:
    """Serve until interrupted."""
    with run_services(port=8100) as services:
        print(f"PERDURE_LLM_BASE_URL={services.llm_base_url}")
        print(f"weather at {services.weather_url}/bern")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()

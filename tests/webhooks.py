"""What senders of inbound webhooks do: each signs as its own documentation says."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks import Webhook

ECHO = {
    "name": "echo",
    "nodes": [
        {"id": "in", "block_id": "agent_input_block", "input_default": {"name": "x", "value": "nothing"}},
        {"id": "out", "block_id": "agent_output_block", "input_default": {"name": "y"}},
    ],
    "links": [{"source_id": "in", "sink_id": "out", "source_name": "result", "sink_name": "value"}],
}
"""Gives back as `y` what comes in as `x`."""


async def make_webhook(client: httpx.AsyncClient, graph_id: str, **given: Any) -> dict[str, Any]:
    """Have a client make a webhook; return the answer."""
    body = {"graph_id": graph_id, "name": "a webhook", "scheme": "standard", **given}
    response = await client.post("/api/webhooks", json=body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


@dataclass(kw_only=True)
class Sender:
    """Somebody who sends to a webhook."""

    scheme: str
    secret: str
    id: str = field(default_factory=lambda: f"msg_{uuid.uuid4()}")
    at: float = field(default_factory=time.time)

    def headers(self, body: bytes) -> dict[str, str]:
        """Return what proves a delivery."""
        proof: Mapping[str, str] = getattr(self, f"_{self.scheme}")(body)
        # What a sender says of its body is not believed.
        return {"Content-Type": "text/plain", **proof}

    def _standard(self, body: bytes) -> dict[str, str]:
        signed = Webhook(self.secret).sign(self.id, datetime.fromtimestamp(int(self.at), UTC), body.decode())
        return {
            "webhook-id": self.id,
            "webhook-timestamp": str(int(self.at)),
            "webhook-signature": signed,
        }

    def _github(self, body: bytes) -> dict[str, str]:
        return {
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": self.id,
            "X-Hub-Signature-256": f"sha256={self._sign(body)}",
        }

    def _stripe(self, body: bytes) -> dict[str, str]:
        signature = self._sign(f"{int(self.at)}.".encode() + body)
        return {"Stripe-Signature": f"t={int(self.at)},v1={signature},v0={'0' * 64}"}

    def _slack(self, body: bytes) -> dict[str, str]:
        signature = self._sign(f"v0:{int(self.at)}:".encode() + body)
        return {"X-Slack-Request-Timestamp": str(int(self.at)), "X-Slack-Signature": f"v0={signature}"}

    def _token(self, _: bytes) -> dict[str, str]:
        return {"X-Webhook-Token": self.secret, "Idempotency-Key": self.id}

    def _sign(self, signed: bytes) -> str:
        return hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()

    def wrap(self, content: Mapping[str, Any]) -> bytes:
        """Return the body of an event, with the id where the scheme has it there."""
        named = {"stripe": {"id": self.id}, "slack": {"event_id": self.id}}.get(self.scheme, {})
        return json.dumps({**content, **named}).encode()


async def deliver(
    client: httpx.AsyncClient,
    made: Mapping[str, Any],
    content: Any = None,
    *,
    sender: Sender | None = None,
    body: bytes | None = None,
    **more: Any,
) -> httpx.Response:
    """Send something to a webhook as its sender would."""
    sender = sender or Sender(scheme=made["scheme"], secret=made["secret"])
    body = sender.wrap(content if content is not None else {"x": 1}) if body is None else body
    headers = {**sender.headers(body), **more.pop("headers", {})}
    return await client.post(made["url"], content=body, headers=headers, **more)

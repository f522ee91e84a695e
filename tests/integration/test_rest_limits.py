"""The limits on what is sent, each tried over REST: refused by name, in bounded time, with a short answer."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from app.graph.validation import MAX_LINKS, MAX_NODES
from tests.e2e.rest import graph, link, node, save, sums

MANY = 90_000
"""Fewer than there may be keys in a body."""
LONG = "k" * 1_000_000


def chain(size: int, links: int) -> dict[str, Any]:
    """Return a graph of so many nodes, whose last two have many links."""
    nodes = [node(f"n{number}", "store_value_block", input=1) for number in range(size)]
    return {
        "name": "large",
        "nodes": nodes,
        "links": [link(f"n{size - 2}.output -> n{size - 1}.input")] * links,
    }


REFUSED: dict[str, tuple[Any, int]] = {
    "a link too many": (chain(2, MAX_LINKS + 1), 422),
    "a node too many": (chain(MAX_NODES + 1, 1), 422),
    "a long name": ({**sums(1), "name": LONG}, 422),
    "a long description": ({**sums(1), "description": LONG}, 422),
    "a long field": ({**sums(1), LONG: 1}, 201),
    "a long node id": ({**sums(1), "nodes": [node(LONG, "store_value_block")]}, 422),
    "a long block": ({**sums(1), "nodes": [node("n", LONG)]}, 422),
    "a long pin": (graph([node("n", "store_value_block", **{LONG: 1})], []), 400),
    "many pins": (graph([node("n", "store_value_block", **{f"p{k}": 1 for k in range(MANY)})], []), 400),
    "many unknown blocks": (graph([node(f"n{k}", f"none{k}") for k in range(MAX_NODES)], []), 400),
    "a name that shows nothing": ({**sums(1), "name": "\u200b\u3164"}, 422),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_graph_beyond_a_limit_is_refused_shortly(alice: httpx.AsyncClient, name: str) -> None:
    body, status = REFUSED[name]
    began = time.monotonic()
    response = await alice.post("/api/graphs", json=body)

    assert response.status_code == status, response.text[:500]
    assert len(response.content) < 3_000_000
    assert time.monotonic() - began < 60


RAW = {
    "a number of 10,000 digits": (b'{"inputs": {"a": ' + b"9" * 10_000 + b"}}", 422),
    "a fraction of 10,000 digits": (b'{"inputs": {"a": 0.' + b"9" * 10_000 + b"}}", 400),
    "an exponent of 10,000 digits": (b'{"inputs": {"a": 1e' + b"9" * 10_000 + b"}}", 422),
    "a small exponent of 10,000 digits": (b'{"inputs": {"a": 1e-' + b"9" * 10_000 + b"}}", 400),
    "a text of 10 MB": (json.dumps({"inputs": {"a": "x" * 10_000_000}}).encode(), 400),
    "a text of 9 MB that is escaped": (b'{"inputs": {"a": "' + b"\\u0041" * 1_500_000 + b'"}}', 400),
    "a key of 1 MB": (json.dumps({"inputs": {LONG: 1}}).encode(), 400),
    "many unknown inputs": (json.dumps({"inputs": {f"i{k}": 1 for k in range(MANY)}}).encode(), 400),
    "many unknown credentials": (
        json.dumps({"credentials_inputs": {f"i{k}": "x" for k in range(MANY)}}).encode(),
        400,
    ),
    "UTF-16": (json.dumps({"inputs": {}}).encode("utf-16"), 422),
    "a byte order mark": (b"\xef\xbb\xbf{}", 422),
}


@pytest.mark.parametrize("name", RAW)
async def test_inputs_beyond_a_limit_are_refused_shortly(alice: httpx.AsyncClient, name: str) -> None:
    content, status = RAW[name]
    graph_id = await save(alice, sums(1))
    for call in ("execute", "estimate"):
        began = time.monotonic()
        response = await alice.post(
            f"/api/graphs/{graph_id}/{call}", content=content, headers={"Content-Type": "application/json"}
        )
        assert response.status_code == status, response.text[:500]
        assert len(response.content) < 3_000_000
        assert time.monotonic() - began < 60
    assert (await alice.get("/api/executions")).json()["items"] == []


async def test_what_authors_keep_with_a_node_stays_as_it_is(alice: httpx.AsyncClient) -> None:
    """It is data, like constants: whoever shows it escapes it."""
    kept = {"title": "<b>x</b>\u202e", "customized_name": "<img src=x>"}
    graph_id = await save(alice, graph([node("n", "store_value_block", metadata=kept, input="<i>")], []))

    (saved,) = (await alice.get(f"/api/graphs/{graph_id}")).json()["nodes"]
    assert saved["metadata"] == kept
    assert saved["input_default"] == {"input": "<i>"}

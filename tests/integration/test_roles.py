"""Every route of the application with every kind of caller: what is open stands in one table, all else is closed.

The routes are those of the application itself, also where they are in no document.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from app.api import callers
from app.api.auth import issue_token
from app.api.policies import OPEN, POLICIES, Policy, Scope
from app.api.route import PREFIX, ApiRoute
from app.api.routers.sockets import SocketRoute
from tests.api_keys import KEYS, holding, make_key
from tests.engine import Engine
from tests.rest_api import SECRET, RestApi

SOCKETS = {"/ws", f"{PREFIX}/ws"}
"""Who may open them is tried in `test_live_sockets`."""
AT_THE_ROOT = {"/metrics"}
"""Without the prefix that all other routes of a policy have."""
BOLD_HEADERS = {
    "X-HTTP-Method-Override": "DELETE",
    "X-HTTP-Method": "DELETE",
    "X-Method-Override": "DELETE",
    "X-Original-URL": "/health/live",
    "X-Rewrite-URL": "/health/live",
    "X-Forwarded-Prefix": "/health",
    "X-Forwarded-User": "admin",
    "X-Role": "admin",
}
TRICKS = (
    "{}/",
    "/{}",
    "{}//",
    "{}/%2e",
    "{}/.",
    "{}/..;/",
    "{};x",
    "{}.json",
    "{}%00",
    "{}%20",
    "{}%2f",
    "{}?",
    "{}#",
)


@dataclass(frozen=True)
class Route:
    """A route as it is reached."""

    method: str
    path: str
    policy: Policy | None
    is_of_ours: bool


def routes_of(application: FastAPI) -> Sequence[Route]:
    return [
        Route(method, path, getattr(route, "policy", None), isinstance(route, ApiRoute | SocketRoute))
        for path, route in _found(application.routes)
        for method in sorted(getattr(route, "methods", None) or {"GET"})
        if not (method == "HEAD" and not isinstance(route, APIRoute))
    ]


def _found(routes: Sequence[Any]) -> Iterator[tuple[str, BaseRoute]]:
    for route in routes:
        if hasattr(route, "effective_candidates"):
            # A router that was included: what is in it is put together when it is first asked for.
            for inner in route.effective_candidates():
                yield from _found([inner])
        else:
            yield route.path, getattr(route, "original_route", route)


def is_open(route: Route) -> bool:
    return (route.method, route.path) in OPEN


def filled(path: str) -> str:
    known = {"version": "1", "sha256": "0" * 64, "slug": "nothing"}
    return re.sub(r"{(\w+)}", lambda name: known.get(name[1], str(uuid.uuid4())), path)


async def call(client: httpx.AsyncClient, route: Route) -> httpx.Response:
    """Call a route so that it has nothing to do for whoever gets past the door."""
    body = b"{" if route.method in {"POST", "PUT", "PATCH"} else None
    return await client.request(route.method, filled(route.path), content=body)


@dataclass(frozen=True)
class Cast:
    """Callers of all kinds."""

    nobody: httpx.AsyncClient
    user: httpx.AsyncClient
    admin: httpx.AsyncClient
    suspended_user: httpx.AsyncClient
    key_of_suspended_user: httpx.AsyncClient
    invalid_keys: Sequence[httpx.AsyncClient]
    forged_admin_key: httpx.AsyncClient
    """A user's key that claims to be for admin."""
    keys_for: dict[Scope, httpx.AsyncClient]
    """Keys of an administrator, each for one scope."""
    keys_without: dict[Scope, httpx.AsyncClient]
    """Keys of an administrator, each for everything but one scope."""


@pytest.fixture
async def cast(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cast]:
    monkeypatch.setattr(callers, "WELCOME_SECONDS", 0.0)
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(
            api.caller(token=issue_token(SECRET, email=f"{uuid.uuid4()}@example.org", role="admin"))
        )
        fallen = await stack.enter_async_context(api.caller())

        async def key(owner: httpx.AsyncClient, *scopes: Scope) -> tuple[str, httpx.AsyncClient]:
            made = await make_key(owner, *scopes)
            return made["id"], await stack.enter_async_context(holding(api, made))

        every = [scope for scope in Scope if scope is not Scope.ADMIN]
        expired, revoked, suspended, forged = [await key(alice, *every) for _ in range(4)]
        of_fallen = await key(fallen, *every)
        keys_for = {scope: (await key(admin, scope))[1] for scope in Scope}
        keys_without = {scope: (await key(admin, *set(Scope) - {scope}))[1] for scope in Scope}
        await engine.pool.execute(
            "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = $1", expired[0]
        )
        await engine.pool.execute("UPDATE api_keys SET scopes = $2 WHERE id = $1", forged[0], ["admin"])
        assert (await alice.delete(f"{KEYS}/{revoked[0]}")).status_code == 204
        assert (await alice.patch(f"{KEYS}/{suspended[0]}", json={"suspended": True})).status_code == 200
        await engine.pool.execute(
            "UPDATE users SET suspended_at = now() WHERE id = (SELECT user_id FROM api_keys WHERE id = $1)",
            of_fallen[0],
        )
        yield Cast(
            nobody=await stack.enter_async_context(api.caller(token="")),
            user=alice,
            admin=admin,
            suspended_user=fallen,
            key_of_suspended_user=of_fallen[1],
            invalid_keys=[client for _, client in (expired, revoked, suspended)],
            forged_admin_key=forged[1],
            keys_for=keys_for,
            keys_without=keys_without,
        )


def test_every_route_is_in_one_of_the_two_tables(api: RestApi) -> None:
    routes = routes_of(api.application)
    paths = {(route.method, route.path) for route in routes}
    for route in routes:
        if is_open(route):
            assert route.policy is None, f"{route} is open and has a policy"
        else:
            assert route.is_of_ours, f"{route} is not of our kind, so anybody may call it"
            assert route.policy is not None, f"{route} has no policy, so nobody may call it"
            if route.method not in {"GET", "HEAD"}:
                named = re.fullmatch(r"[a-z_]+\.[a-z_]+", route.policy.action)
                assert named or not route.policy.action, f"{route} is not named as noun.verb"
    assert set(OPEN) <= paths, "what is open is no route any more"
    policies = {(method, path if path in AT_THE_ROOT else PREFIX + path) for method, path in POLICIES}
    assert policies <= paths, f"no routes: {policies - paths}"


async def test_every_route_lets_in_whom_it_should_and_nobody_else(api: RestApi, cast: Cast) -> None:
    tried = 0
    for route in routes_of(api.application):
        if is_open(route):
            continue
        if route.path in SOCKETS:
            continue
        policy = route.policy
        assert policy is not None
        refused: dict[str, tuple[httpx.AsyncClient, int]] = {
            "nobody": (cast.nobody, 401),
            **{f"invalid key {n}": (client, 401) for n, client in enumerate(cast.invalid_keys)},
            "suspended user": (cast.suspended_user, 403),
            "key of suspended user": (cast.key_of_suspended_user, 403),
            "key without the scope": (cast.keys_without[policy.scope], 403),
        }
        let_in = {"admin": cast.admin, "key with the scope": cast.keys_for[policy.scope]}
        if policy.is_for_admins:
            assert policy.scope is Scope.ADMIN, route
            refused |= {"user": (cast.user, 403), "forged key": (cast.forged_admin_key, 403)}
        else:
            let_in["user"] = cast.user
        for who, (client, status) in refused.items():
            response = await call(client, route)
            assert response.status_code == status, (route, who, response.text)
        for who, client in let_in.items():
            response = await call(client, route)
            assert response.status_code < 500, (route, who, response.text)
            assert response.status_code not in {401, 403}, (route, who, response.text)
        tried += len(refused) + len(let_in)
    assert tried > 500


async def test_no_odd_path_and_no_header_opens_a_route(api: RestApi, cast: Cast) -> None:
    """A key that may read graphs holds none of what the others ask for."""
    reader = cast.keys_for[Scope.GRAPHS_READ]
    for route in routes_of(api.application):
        if route.policy is None or route.method != "GET":
            continue
        for client in (cast.nobody, reader):
            is_readers = client is reader and route.policy.scope is Scope.GRAPHS_READ
            allowed = {401, 403, 404, 405} | ({200, 422} if is_readers else set())
            # What is odd in a path is odd for every method: the router looks at the path first.
            tries = [("GET", trick) for trick in TRICKS] + [("HEAD", "{}"), ("OPTIONS", "{}")]
            for method, trick in tries:
                target = trick.format(filled(route.path))
                response = await client.request(method, target, headers=BOLD_HEADERS)
                assert response.status_code in allowed, (method, target, response.text)


async def test_a_header_does_not_make_another_method_of_a_call(
    alice: httpx.AsyncClient, api: RestApi
) -> None:
    made = await make_key(alice, "keys:read")
    async with holding(api, made) as key:
        path = f"{KEYS}/{made['id']}"
        assert (await key.get(path, headers=BOLD_HEADERS)).status_code == 200
        assert (await key.get(f"{path}?_method=DELETE")).status_code == 200
        assert (await key.delete(path)).status_code == 403
        assert (await key.get(path)).status_code == 200


async def test_a_key_answers_reviews_only_when_it_was_said_in_so_many_words(
    api: RestApi, alice: httpx.AsyncClient
) -> None:
    others = [scope for scope in Scope if scope not in {Scope.REVIEWS_WRITE, Scope.ADMIN}]
    path = f"/api/executions/{uuid.uuid4()}/reviews/{uuid.uuid4()}"
    for scopes, status in ((others, 403), ([Scope.REVIEWS_WRITE], 404)):
        async with holding(api, await make_key(alice, *scopes)) as key:
            assert (await key.post(path, json={"approved": True})).status_code == status

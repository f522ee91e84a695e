"""Tokens of another identity provider: keys that are published, read, kept and withdrawn."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwk, jwt

from app.api import auth
from app.api.auth import KeySet, TokenReader
from app.errors import EngineUnavailable, Unauthenticated
from tests.tokens import EC_KEY, RSA_KEY, FixedKeys, claims, pem, public_pem, signed
from tests.unit.blocks.stub_server import Answer, running_server


@pytest.mark.parametrize(("key", "algorithm"), [(RSA_KEY, "RS256"), (EC_KEY, "ES256")])
async def test_a_published_key_reads_its_own_algorithm_alone(key: Any, algorithm: str) -> None:
    published = jwk.construct(public_pem(key), algorithm)
    reader = TokenReader(FixedKeys(k1=(published, algorithm)))
    good = jwt.encode(claims(), pem(key), algorithm=algorithm, headers={"kid": "k1"})

    assert (await reader.read(good)).user_id == "u1"
    # The public key is known to everybody: as a shared secret it must sign nothing.
    parts = signed(claims(), kid="k1").rsplit(".", 1)[0].encode()
    mac = hmac.new(public_pem(key), parts, hashlib.sha256).digest()
    confused = parts + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")
    for bad in (
        confused.decode(),
        jwt.encode(claims(), pem(key), algorithm=algorithm, headers={"kid": "k2"}),
        jwt.encode(claims(), pem(key), algorithm=algorithm),
        signed(claims(), kid="k1", alg="none"),
        signed(claims(), kid=["k1"]),
        signed(claims(), kid="../../etc/passwd"),
    ):
        with pytest.raises(Unauthenticated):
            await reader.read(bad)


@pytest.mark.parametrize(
    "document",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "HS256"},
        {"kty": "RSA", "n": "x", "e": "y", "kid": "k1", "alg": "HS256"},
        {"kty": "RSA", "kid": "k1"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "k1"},
        {**jwk.construct(public_pem(RSA_KEY), "RS256").to_dict(), "kid": "k1", "use": "enc"},
        jwk.construct(public_pem(RSA_KEY), "RS256").to_dict(),
        "k1",
        None,
    ],
)
def test_what_is_no_public_signing_key_is_left_out_of_a_key_set(document: Any) -> None:
    assert auth._read_key(document) is None


def test_a_public_signing_key_is_taken_with_its_algorithm() -> None:
    for key, algorithm in ((RSA_KEY, "RS256"), (EC_KEY, "ES256")):
        document = {**jwk.construct(public_pem(key), algorithm).to_dict(), "kid": "k1"}
        found = auth._read_key(document)
        assert found is not None
        assert (found[0], found[1][1]) == ("k1", algorithm)


async def test_a_key_set_out_of_reach_is_an_outage_and_no_refusal() -> None:
    reader = TokenReader(KeySet("http://127.0.0.1:1/keys", timeout_seconds=1))
    with pytest.raises(EngineUnavailable):
        await reader.read(signed(claims(), kid="k1", alg="RS256"))


async def test_a_key_set_is_read_once_and_again_when_a_token_names_a_new_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    public = jwk.construct(public_pem(RSA_KEY), "RS256").to_dict()
    published, reads = ["k1"], 0

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal reads
        reads += 1
        body = json.dumps({"keys": [{**public, "kid": name} for name in published]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    def token(name: str) -> str:
        return str(jwt.encode(claims(), pem(RSA_KEY), algorithm="RS256", headers={"kid": name}))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reader = TokenReader(KeySet(f"http://127.0.0.1:{port}/keys"))
        for _ in range(3):
            assert (await reader.read(token("k1"))).user_id == "u1"
        assert reads == 1

        published.append("k2")
        with pytest.raises(Unauthenticated):
            # Asked again so soon, the key set is left alone: unknown keys must not make us hammer it.
            await reader.read(token("k2"))
        monkeypatch.setattr(auth, "KEYS_REST_SECONDS", 0.0)
        assert (await reader.read(token("k2"))).user_id == "u1"
        assert reads == 2


def jwks_token(name: str) -> str:
    return str(jwt.encode(claims(), pem(RSA_KEY), algorithm="RS256", headers={"kid": name}))


def jwks(*names: str) -> Answer:
    public = jwk.construct(public_pem(RSA_KEY), "RS256").to_dict()
    return Answer.of_json({"keys": [{**public, "kid": name} for name in names]})


async def test_tokens_of_invented_keys_do_not_cause_a_storm_of_readings() -> None:
    async with running_server() as server:
        server.answers["/keys"] = jwks("k1")
        reader = TokenReader(KeySet(f"{server.url}/keys"))
        for number in range(10):
            with pytest.raises(Unauthenticated):
                await reader.read(jwks_token(f"invented-{number}"))
        assert (await reader.read(jwks_token("k1"))).user_id == "u1"
        assert len(server.asked) == 1


async def test_a_token_of_a_known_key_does_not_wait_for_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_server() as server:
        server.answers["/keys"] = jwks("k1")
        reader = TokenReader(KeySet(f"{server.url}/keys", timeout_seconds=60))
        await reader.read(jwks_token("k1"))

        monkeypatch.setattr(auth, "KEYS_REST_SECONDS", 0.0)
        server.answers["/keys"] = Answer(hangs=True)
        server.reached.clear()
        waiting = asyncio.create_task(reader.read(jwks_token("k2")))
        await server.reached.wait()
        assert (await reader.read(jwks_token("k1"))).user_id == "u1"
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_keys_stay_good_through_an_outage_and_go_when_they_are_withdrawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth, "KEYS_LIVE_SECONDS", 0.0)
    monkeypatch.setattr(auth, "KEYS_REST_SECONDS", 0.0)
    async with running_server() as server:
        server.answers["/keys"] = jwks("k1")
        reader = TokenReader(KeySet(f"{server.url}/keys"))
        assert (await reader.read(jwks_token("k1"))).user_id == "u1"

        for outage in (Answer(503), Answer(body=b"{"), Answer(body=b'{"keys": 5}'), Answer(body=b"[]")):
            server.answers["/keys"] = outage
            assert (await reader.read(jwks_token("k1"))).user_id == "u1"

        server.answers["/keys"] = jwks("k2")
        with pytest.raises(Unauthenticated):
            await reader.read(jwks_token("k1"))
        assert (await reader.read(jwks_token("k2"))).user_id == "u1"


async def test_a_published_elliptic_key_reads_its_tokens_and_no_others() -> None:
    public = jwk.construct(public_pem(EC_KEY), "ES256").to_dict()
    async with running_server() as server:
        server.answers["/keys"] = Answer.of_json({"keys": [{**public, "kid": "e1"}]})
        reader = TokenReader(KeySet(f"{server.url}/keys"))
        good = jwt.encode(claims(), pem(EC_KEY), algorithm="ES256", headers={"kid": "e1"})
        assert (await reader.read(good)).user_id == "u1"
        stranger = ec.generate_private_key(ec.SECP256R1())
        for bad in (
            jwt.encode(claims(), pem(stranger), algorithm="ES256", headers={"kid": "e1"}),
            jwt.encode(claims(), pem(RSA_KEY), algorithm="RS256", headers={"kid": "e1"}),
            # Signatures of zeros were once taken for any text (CVE-2022-21449).
            good.rsplit(".", 1)[0] + "." + base64.urlsafe_b64encode(bytes(64)).rstrip(b"=").decode(),
        ):
            with pytest.raises(Unauthenticated):
                await reader.read(bad)


@pytest.mark.parametrize("answer", ["elsewhere", "too_large"])
async def test_a_key_set_is_neither_fetched_elsewhere_nor_without_limit(answer: str) -> None:
    async with running_server() as server:
        elsewhere = Answer(302, headers={"location": f"{server.url}/other"})
        padded = Answer(body=jwks("k1").body + b" " * auth.MAX_KEYS_BYTES)
        server.answers = {"/keys": elsewhere if answer == "elsewhere" else padded, "/other": jwks("k1")}
        with pytest.raises(EngineUnavailable):
            await TokenReader(KeySet(f"{server.url}/keys")).read(jwks_token("k1"))
        assert [asked.target for asked in server.asked] == ["/keys"]

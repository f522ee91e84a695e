"""Tokens, good and forged."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwe, jwk, jwt
from jose.backends.base import Key

from app.api import auth
from app.api.auth import Caller, KeySet, SecretKey, TokenReader, issue_token
from app.errors import EngineUnavailable, Unauthenticated
from tests.unit.blocks.stub_server import Answer, running_server

SECRET = "a-secret-that-is-long-enough-to-be-one"
RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    return str(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    )


def public_pem(key: Any) -> bytes:
    return bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def claims(**changes: Any) -> dict[str, Any]:
    given = {"sub": "u1", "email": "a@b.c", "role": "user", "exp": int(time.time()) + 60, **changes}
    return {name: value for name, value in given.items() if value is not None}


def signed(given: Mapping[str, Any], **header: Any) -> str:
    """Return a token made by hand, so that nothing stops us from making a bad one."""
    return signed_texts(json.dumps({"alg": "HS256", "typ": "JWT", **header}), json.dumps(given))


def signed_texts(*texts: str) -> str:
    """Return a token of a header and claims that are JSON, or not quite."""
    parts = [base64.urlsafe_b64encode(text.encode()).rstrip(b"=") for text in texts]
    signature = hmac.new(SECRET.encode(), b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.fixture
def reader() -> TokenReader:
    return TokenReader(SecretKey(SECRET))


class FixedKeys:
    """A key set that is given at once."""

    def __init__(self, **keys: tuple[Key, str]) -> None:
        self._keys = keys

    async def find(self, header: Mapping[str, Any]) -> tuple[Key, str] | None:
        return self._keys.get(str(header.get("kid")))


async def test_an_issued_token_speaks_for_its_user(reader: TokenReader) -> None:
    caller = await reader.read(issue_token(SECRET, email="Ann@Example.org", role="admin"))
    other = await reader.read(issue_token(SECRET, email="ann@example.org"))

    assert (caller.email, caller.role) == ("Ann@Example.org", "admin")
    assert caller.user_id == other.user_id
    assert other.role == "user"


async def test_a_token_made_by_hand_is_read(reader: TokenReader) -> None:
    assert await reader.read(signed(claims())) == Caller("u1", "a@b.c", "user")


FORGED = {
    "no token": "",
    "no parts": "token",
    "empty parts": "..",
    "an API key": "prd_abc_def",
    "not ASCII": "ä.ö.ü",
    "too long": signed(claims(email="x" * 9_000)),
    "unsigned": signed(claims()).rsplit(".", 1)[0] + ".",
    "signed by another secret": jwt.encode(claims(), "another", algorithm="HS256"),
    "algorithm none": signed(claims(), alg="none").rsplit(".", 1)[0] + ".",
    "algorithm None": signed(claims(), alg="None"),
    "no algorithm": signed(claims(), alg=None),
    "algorithm HS384": jwt.encode(claims(), SECRET, algorithm="HS384"),
    "algorithm HS512": jwt.encode(claims(), SECRET, algorithm="HS512"),
    "algorithm RS256": jwt.encode(claims(), pem(RSA_KEY), algorithm="RS256"),
    "a list of algorithms": signed(claims(), alg=["HS256"]),
    "a critical extension": signed(claims(), crit=["exp"]),
    "an unknown critical extension": signed(claims(), crit=["x"], x=1),
    "expired": signed(claims(exp=int(time.time()) - 1)),
    "no expiry": signed(claims(exp=None)),
    "an expiry that is no number": signed(claims(exp="soon")),
    "an infinite expiry": signed(claims(exp=float("inf"))),
    "an expiry that is NaN": signed(claims(exp=float("nan"))),
    "an expiry that is a list": signed(claims(exp=[1])),
    "not yet valid": signed(claims(nbf=int(time.time()) + 60)),
    "for an audience": signed(claims(aud="others")),
    "huge claims": signed(claims(groups=["x" * 100] * 80)),
    "a subject twice": signed_texts('{"alg":"HS256"}', '{"sub":"u1","exp":9999999999,"sub":"u2"}'),
    "a role twice": signed_texts(
        '{"alg":"HS256"}', '{"sub":"u1","exp":9999999999,"role":"user","r\\u006fle":"admin"}'
    ),
    "a claim twice, deep down": signed_texts(
        '{"alg":"HS256"}', '{"sub":"u1","exp":9999999999,"x":{"a":1,"a":2}}'
    ),
    "an algorithm twice": signed_texts('{"alg":"none","alg":"HS256"}', '{"sub":"u1","exp":9999999999}'),
    "a key of its own": signed(claims(), jwk={"kty": "oct", "k": "YQ"}, kid="k1", alg="none"),
    "no subject": signed(claims(sub=None)),
    "an empty subject": signed(claims(sub="")),
    "a subject that is no text": signed(claims(sub=5)),
    "a subject with NUL": signed(claims(sub="a\x00b")),
    "half a surrogate pair": signed(claims(sub="\ud800")),
    "a long subject": signed(claims(sub="x" * 300)),
    "an e-mail that is no text": signed(claims(email={})),
    "an unknown role": signed(claims(role="root")),
    "a role that is a list": signed(claims(role=["admin"])),
    "claims that are a list": signed([1]),  # type: ignore[arg-type]  # the attack is the wrong type
    "encrypted": jwe.encrypt(
        json.dumps(claims()), SECRET[:32], algorithm="dir", encryption="A256GCM"
    ).decode(),
    "deeply nested": base64.urlsafe_b64encode(b"[" * 5_000).decode().rstrip("=") + ".e30.x",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
async def test_a_forged_token_is_refused(reader: TokenReader, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await reader.read(token)


async def test_what_a_token_names_as_its_key_is_not_followed(reader: TokenReader) -> None:
    """One secret reads all tokens, whatever file, query, address or key a header may name."""
    for header in (
        {"kid": "../../../../dev/null"},
        {"kid": "' UNION SELECT 'secret' --"},
        {"jku": "http://127.0.0.1:1/keys", "kid": "k1"},
        {"x5u": "http://127.0.0.1:1/cert"},
        {"jwk": {"kty": "oct", "k": "YQ"}},
    ):
        assert (await reader.read(signed(claims(), **header))).user_id == "u1"
        forged = signed(claims(), **header).rsplit(".", 1)[0].encode()
        for secret in (b"", b"a", b"secret"):
            mac = base64.urlsafe_b64encode(hmac.new(secret, forged, hashlib.sha256).digest()).rstrip(b"=")
            with pytest.raises(Unauthenticated):
                await reader.read((forged + b"." + mac).decode())


async def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    now = int(time.time())
    reader = TokenReader(SecretKey(SECRET), leeway_seconds=30)
    for given in ({"exp": now - 5}, {"nbf": now + 5}):
        assert (await reader.read(signed(claims(**given)))).user_id == "u1"
        with pytest.raises(Unauthenticated):
            await TokenReader(SecretKey(SECRET)).read(signed(claims(**given)))
    for given in ({"exp": now - 60}, {"nbf": now + 60}):
        with pytest.raises(Unauthenticated):
            await reader.read(signed(claims(**given)))


async def test_an_issued_token_names_issuer_and_audience_where_they_are_fixed() -> None:
    reader = TokenReader(SecretKey(SECRET), issuer="us", audience="perdure")

    token = issue_token(SECRET, email="a@b.c", issuer="us", audience="perdure")
    assert (await reader.read(token)).email == "a@b.c"
    with pytest.raises(Unauthenticated):
        await reader.read(issue_token(SECRET, email="a@b.c"))


async def test_a_token_changed_anywhere_is_refused(reader: TokenReader) -> None:
    token = signed(claims())
    for position in range(0, len(token) - 1, 7):
        changed = "A" if token[position] != "A" else "B"
        with pytest.raises(Unauthenticated):
            await reader.read(token[:position] + changed + token[position + 1 :])


async def test_a_secret_that_looks_like_a_key_set_is_a_secret() -> None:
    secret = json.dumps({"keys": [{"kty": "oct", "k": "YQ"}]})
    reader = TokenReader(SecretKey(secret))

    with pytest.raises(Unauthenticated):
        await reader.read(jwt.encode(claims(), "a", algorithm="HS256"))


async def test_issuer_and_audience_must_agree_when_they_are_fixed() -> None:
    reader = TokenReader(SecretKey(SECRET), issuer="us", audience="perdure")

    for audience in ("perdure", ["others", "perdure"]):
        assert (await reader.read(signed(claims(iss="us", aud=audience)))).user_id == "u1"
    for wrong in (
        {},
        {"iss": "us"},
        {"aud": "perdure"},
        {"iss": "us", "aud": "x"},
        {"iss": "x", "aud": "perdure"},
    ):
        with pytest.raises(Unauthenticated):
            await reader.read(signed(claims(**wrong)))


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

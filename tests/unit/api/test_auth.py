"""Tokens, good and forged."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import pytest
from jose import jwe, jwt

from app.api.auth import Caller, SecretKey, TokenReader, issue_token
from app.errors import Unauthenticated
from tests.tokens import RSA_KEY, SECRET, claims, pem, signed, signed_texts


@pytest.fixture
def reader() -> TokenReader:
    return TokenReader(SecretKey(SECRET))


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
    "issued tomorrow": signed(claims(iat=int(time.time()) + 86_400)),
    "issued at no moment": signed(claims(iat="now")),
    "issued at an infinite moment": signed(claims(iat=float("inf"))),
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
    for given in ({"exp": now - 60}, {"nbf": now + 60}, {"iat": now + 200}):
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

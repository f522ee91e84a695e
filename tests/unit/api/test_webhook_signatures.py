"""How senders prove their deliveries: with the examples of their own documentation, and with every bit changed."""

from __future__ import annotations

import re
import time

import pytest
from starlette.datastructures import Headers

from app.api.webhooks.signatures import Scheme, check_secret, is_proven, make_secret, read_proof
from tests.webhooks import Sender

SLASH_COMMAND = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
DOCUMENTED = {
    Scheme.STANDARD: (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        1614265330,
        b'{"test": 2432232314}',
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
    ),
    Scheme.GITHUB: (
        "It's a Secret to Everybody",
        0,
        b"Hello, World!",
        {
            "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        },
    ),
    Scheme.SLACK: (
        "8f742231b10e8888abcd99yyyzzz85a5",
        1531420618,
        SLASH_COMMAND,
        {
            "X-Slack-Request-Timestamp": "1531420618",
            "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
    ),
}


@pytest.mark.parametrize("scheme", DOCUMENTED)
def test_the_example_of_the_documentation_is_proven(scheme: Scheme) -> None:
    secret, now, body, headers = DOCUMENTED[scheme]
    proof = read_proof(scheme, Headers(headers))
    assert is_proven(scheme, [secret], proof, body, now=now)
    assert is_proven(scheme, ["another", secret], proof, body, now=now)
    assert not is_proven(scheme, ["another"], proof, body, now=now)
    assert not is_proven(scheme, [], proof, body, now=now)


@pytest.mark.parametrize("scheme", list(Scheme))
def test_a_delivery_of_which_any_bit_is_changed_is_not_proven(scheme: Scheme) -> None:
    secret, body, now = make_secret(scheme), b'{"amount": 100}', time.time()
    headers = Sender(scheme=scheme, secret=secret, at=now).headers(body)
    proof = read_proof(scheme, Headers(headers))
    assert is_proven(scheme, [secret], proof, body, now=now)
    for place in range(len(proof.signatures[0]) * 8):
        changed = bytearray(proof.signatures[0])
        changed[place // 8] ^= 1 << place % 8
        forged = type(proof)(proof.prefix, (bytes(changed),), proof.sent_at, proof.delivery_id)
        assert not is_proven(scheme, [secret], forged, body, now=now)
    if scheme is not Scheme.TOKEN:
        for place in range(len(body) * 8):
            changed = bytearray(body)
            changed[place // 8] ^= 1 << place % 8
            assert not is_proven(scheme, [secret], proof, bytes(changed), now=now)


def test_the_borders_between_what_is_signed_cannot_be_moved() -> None:
    """What is signed is `id.time.body`: a dot in the id, or a time that is no number, would read it otherwise."""
    secret, body = make_secret(Scheme.STANDARD), b'17.{"a": 1}'
    sender = Sender(scheme="standard", secret=secret, id="msg", at=1_700_000_000)
    headers = sender.headers(body)
    signature = headers["webhook-signature"]
    moved = {"webhook-id": "msg.1700000000", "webhook-timestamp": "17", "webhook-signature": signature}
    assert not is_proven(
        Scheme.STANDARD, [secret], read_proof(Scheme.STANDARD, Headers(moved)), b'{"a": 1}', now=17
    )


WRONG = {
    Scheme.STANDARD: "A" * 43 + "=",
    Scheme.GITHUB: "0" * 64,
    Scheme.STRIPE: "0" * 64,
    Scheme.SLACK: "0" * 64,
}
OTHERWISE_SIGNED: list[tuple[Scheme, str, bool]] = [
    (Scheme.STANDARD, "v1,{wrong} v1,{right}", True),
    (Scheme.STANDARD, "v1a,{wrong}  v2,x v1,{right}", True),
    (Scheme.STANDARD, " ".join(["v1,{wrong}"] * 10 + ["v1,{right}"]), False),
    (Scheme.STANDARD, "v1a,{right}", False),
    (Scheme.STANDARD, "v1,{right},v1,{right}", False),
    (Scheme.STANDARD, "{right}", False),
    (Scheme.GITHUB, "sha256={right}", True),
    (Scheme.GITHUB, "sha1={right}", False),
    (Scheme.GITHUB, "{right}", False),
    (Scheme.GITHUB, "sha256={right},sha256={wrong}", False),
    (Scheme.STRIPE, "t={at},v1={wrong},v1={right},v0={wrong}", True),
    (Scheme.STRIPE, "v1={right}, t={at}", True),
    (Scheme.STRIPE, ",".join(["t={at}"] + ["v1={wrong}"] * 10 + ["v1={right}"]), False),
    (Scheme.STRIPE, "t={at},v0={right}", False),
    (Scheme.STRIPE, "t={at},t={at},v1={right}", False),
    (Scheme.STRIPE, "v1={right}", False),
    (Scheme.STRIPE, "t=+{at},v1={right}", False),
    (Scheme.SLACK, "v0={right}", True),
    (Scheme.SLACK, "v1={right}", False),
    (Scheme.SLACK, "v0:{right}", False),
]
HEADERS = {
    Scheme.STANDARD: "webhook-signature",
    Scheme.GITHUB: "X-Hub-Signature-256",
    Scheme.STRIPE: "Stripe-Signature",
    Scheme.SLACK: "X-Slack-Signature",
}


@pytest.mark.parametrize(("scheme", "form", "is_right"), OTHERWISE_SIGNED)
def test_one_right_signature_of_the_version_that_counts_is_enough(
    scheme: Scheme, form: str, is_right: bool
) -> None:
    secret, body, now = make_secret(scheme), b"{}", 1_700_000_000
    headers = Sender(scheme=scheme, secret=secret, at=now).headers(body)
    right = re.split("v1,|sha256=|v1=|v0=", headers[HEADERS[scheme]])[1].rstrip(",")
    headers[HEADERS[scheme]] = form.format(right=right, wrong=WRONG[scheme], at=now)
    assert is_proven(scheme, [secret], read_proof(scheme, Headers(headers)), body, now=now) is is_right


@pytest.mark.parametrize(
    ("headers", "is_right"),
    [
        ({"Authorization": "Bearer {right}"}, True),
        ({"Authorization": "bearer  {right}"}, True),
        ({"X-Webhook-Token": "{right}"}, True),
        ({"Authorization": "Basic {right}"}, False),
        ({"Authorization": "{right}"}, False),
        ({"Authorization": "Bearer {right}", "X-Webhook-Token": "{right}"}, False),
        ({"Authorization": "Bearer {wrong}", "X-Webhook-Token": "{right}"}, False),
    ],
)
def test_a_token_is_said_once_and_by_its_name(headers: dict[str, str], is_right: bool) -> None:
    secret = make_secret(Scheme.TOKEN)
    given = {name: text.format(right=secret, wrong="x" * 43) for name, text in headers.items()}
    assert is_proven(Scheme.TOKEN, [secret], read_proof(Scheme.TOKEN, Headers(given)), b"", now=0) is is_right


@pytest.mark.parametrize("scheme", [Scheme.STANDARD, Scheme.STRIPE, Scheme.SLACK])
def test_a_moment_is_tolerated_as_far_in_the_past_as_in_the_future(scheme: Scheme) -> None:
    secret, at = make_secret(scheme), 1_700_000_000
    proof = read_proof(scheme, Headers(Sender(scheme=scheme, secret=secret, at=at).headers(b"{}")))
    for off, is_right in ((-301, False), (-300, True), (0, True), (300, True), (301, False)):
        assert is_proven(scheme, [secret], proof, b"{}", now=at + off) is is_right, off


def test_a_secret_that_is_made_has_the_form_that_is_asked_for() -> None:
    for scheme in Scheme:
        check_secret(scheme, make_secret(scheme))
    assert make_secret(Scheme.TOKEN) != make_secret(Scheme.TOKEN)

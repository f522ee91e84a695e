"""Whose word counts about where a request comes from."""

from __future__ import annotations

import pytest

from app.proxies import TrustedProxies, group_of
from app.web_origins import parse_origins


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ("", "10.0.0.1", ["192.0.2.1"], "10.0.0.1"),
        ("1", "10.0.0.1", ["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        ("2", "10.0.0.1", ["6.6.6.6, 192.0.2.1", "10.0.0.2"], "192.0.2.1"),
        # Too few say that somebody has come past the proxies.
        ("2", "10.0.0.1", ["192.0.2.1"], "10.0.0.1"),
        ("1", "10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", ["6.6.6.6, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        ("10.0.0.0/8", "192.0.2.9", ["6.6.6.6"], "192.0.2.9"),
        ("10.0.0.0/8", "10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", ["nonsense, 10.0.0.2"], "10.0.0.2"),
        ("2001:db8::/32, 10.0.0.1", "::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.0/8", None, ["192.0.2.1"], None),
    ],
)
def test_only_trusted_proxies_are_believed(
    trusted: str, peer: str | None, forwarded: list[str], expected: str | None
) -> None:
    assert TrustedProxies.parse(trusted).address_of(peer, forwarded) == expected


def test_an_address_stands_for_its_network_of_ipv6() -> None:
    assert group_of("2001:db8::1") == group_of("2001:db8::2") != group_of("2001:db8:0:1::1")
    assert group_of("::ffff:192.0.2.1") == group_of("192.0.2.1") == "192.0.2.1"
    assert group_of(None) == group_of("nonsense") == "unknown"


@pytest.mark.parametrize(
    "text",
    ["*", "null", "https://*.example.org", "example.org", "https://a.org/", "https://A.org", "ftp://a.org"],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"origin|written"):
        parse_origins(f"https://good.org,{text}")


def test_origins_are_read_as_browsers_send_them() -> None:
    assert parse_origins(" https://a.org, http://localhost:3000 ,") == (
        "https://a.org",
        "http://localhost:3000",
    )

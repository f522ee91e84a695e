from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from app.api.review_links import LinkSigner, ReviewLink
from app.encryption.keys import EncryptionKey
from app.errors import NotFound

OLD, NEW, OTHER = (EncryptionKey(bytes([number]) * 32) for number in (1, 2, 3))
SIGNER = LinkSigner([NEW])


def make_link(*, seconds: float = 60) -> ReviewLink:
    moment = (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)
    return ReviewLink(uuid.uuid4(), uuid.uuid4(), b"h" * 32, moment)


def test_a_link_says_what_was_written() -> None:
    link = make_link()
    assert SIGNER.read(SIGNER.write(link)) == link


def test_a_link_is_the_same_each_time_and_fits_into_an_address() -> None:
    link = make_link()
    token = SIGNER.write(link)
    assert token == SIGNER.write(link)
    assert len(token) < 200
    assert all(letter.isalnum() or letter in "-_" for letter in token)


def test_a_link_of_an_older_key_is_read_until_the_key_is_removed() -> None:
    link = make_link()
    token = LinkSigner([OLD]).write(link)
    assert LinkSigner([NEW, OLD]).read(token) == link
    with pytest.raises(NotFound):
        LinkSigner([NEW]).read(token)


def test_a_link_that_has_expired_is_none() -> None:
    with pytest.raises(NotFound):
        SIGNER.read(SIGNER.write(make_link(seconds=-1)))


def test_a_link_with_any_bit_changed_is_none() -> None:
    token = SIGNER.write(make_link())
    signed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for place in range(len(signed)):
        changed = bytearray(signed)
        changed[place] ^= 1
        with pytest.raises(NotFound):
            SIGNER.read(base64.urlsafe_b64encode(bytes(changed)).decode().rstrip("="))


def test_a_link_has_one_spelling() -> None:
    token = SIGNER.write(make_link())
    for spelling in (
        token + "=",
        token + "A",
        token[:-1],
        f" {token}",
        token.replace("-", "+") + "\n",
        token.lower(),
    ):
        with pytest.raises(NotFound):
            SIGNER.read(spelling)
    # The last letter holds two bits that base64 does not use.
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    alias = token[:-1] + letters[letters.index(token[-1]) ^ 1]
    with pytest.raises(NotFound):
        SIGNER.read(alias)


@pytest.mark.parametrize(
    "token", ["", "x", "ä" * 139, "A" * 139, "A" * 100_000, "A" * 138, "../" * 46, "\x00" * 139]
)
def test_what_is_no_link_at_all_is_none(token: str) -> None:
    with pytest.raises(NotFound):
        SIGNER.read(token)


def test_a_link_signed_with_the_key_itself_or_for_another_purpose_is_none() -> None:
    token = SIGNER.write(make_link())
    for key in (EncryptionKey(NEW.derive("web ui")), OTHER):
        with pytest.raises(NotFound):
            LinkSigner([key]).read(token)


def test_links_need_a_key() -> None:
    with pytest.raises(ValueError, match="key"):
        LinkSigner([])

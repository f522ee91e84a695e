"""What is sealed opens for its owner and its credentials alone, with any key that is set."""

from __future__ import annotations

import uuid

import pytest

from app.encryption.credentials import CredentialsEncryption, CredentialsUnreadable, Sealed
from app.encryption.keys import EncryptionKey

OLD, NEW = EncryptionKey(b"o" * 32), EncryptionKey(b"n" * 32)
ONE, TWO = uuid.uuid4(), uuid.uuid4()
SECRET = {"api_key": "a sécret"}


def test_the_first_key_seals_and_every_key_opens() -> None:
    old, both = CredentialsEncryption([OLD]), CredentialsEncryption([NEW, OLD])
    sealed = old.seal("alice", ONE, SECRET)
    assert both.open("alice", ONE, sealed) == SECRET
    assert not both.is_current(sealed)
    again = both.seal("alice", ONE, SECRET)
    assert again.key_id == both.newest_key_id == NEW.id
    with pytest.raises(CredentialsUnreadable, match="does not have"):
        old.open("alice", ONE, again)


def test_nothing_of_a_secret_is_to_be_seen_and_no_two_are_alike() -> None:
    encryption = CredentialsEncryption([NEW])
    one, two = encryption.seal("alice", ONE, SECRET), encryption.seal("alice", ONE, SECRET)
    assert one.content != two.content
    assert b"cret" not in one.content
    assert "cret" not in repr(one)


@pytest.mark.parametrize(("owner", "credentials_id"), [("bob", ONE), ("alice", TWO), ("", ONE)])
def test_a_secret_opens_neither_for_somebody_else_nor_as_others(
    owner: str, credentials_id: uuid.UUID
) -> None:
    encryption = CredentialsEncryption([NEW])
    sealed = encryption.seal("alice", ONE, SECRET)
    with pytest.raises(CredentialsUnreadable, match="changed"):
        encryption.open(owner, credentials_id, sealed)


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 11, b"x" * 12, b"x" * 400])
def test_damage_is_noticed(content: bytes) -> None:
    with pytest.raises(CredentialsUnreadable):
        CredentialsEncryption([NEW]).open("alice", ONE, Sealed(NEW.id, content))


def test_one_changed_bit_is_noticed_wherever_it_is() -> None:
    encryption = CredentialsEncryption([NEW])
    sealed = encryption.seal("alice", ONE, SECRET)
    for at in range(len(sealed.content)):
        changed = bytearray(sealed.content)
        changed[at] ^= 1
        with pytest.raises(CredentialsUnreadable):
            encryption.open("alice", ONE, Sealed(sealed.key_id, bytes(changed)))


def test_without_a_key_nothing_is_kept() -> None:
    with pytest.raises(CredentialsUnreadable, match="no encryption key"):
        CredentialsEncryption([]).seal("alice", ONE, SECRET)

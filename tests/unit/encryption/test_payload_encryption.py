"""How payloads are sealed, and what opens them again."""

from __future__ import annotations

import base64
import secrets

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from app.encryption.keys import EncryptionKey, parse_encryption_keys
from app.encryption.payloads import KEY_ID, PURPOSE, PayloadEncryption, PayloadUnreadable
from app.temporal import make_data_converter

OLD, NEW, OTHER = (EncryptionKey(secrets.token_bytes(32)) for _ in range(3))
CANARY = b"a word that nobody else writes"
PLAIN = Payload(metadata={"encoding": b"json/plain", "note": CANARY}, data=b'"' + CANARY + b'"')


async def seal(payload: Payload, key: EncryptionKey = OLD) -> Payload:
    return (await PayloadEncryption([key]).encode([payload]))[0]


async def unseal(payload: Payload, *keys: EncryptionKey) -> Payload:
    return (await PayloadEncryption(keys).decode([payload]))[0]


@given(
    metadata=st.dictionaries(st.text(max_size=20), st.binary(max_size=50), max_size=4),
    data=st.binary(max_size=500),
)
async def test_what_is_sealed_opens_as_it_was(metadata: dict[str, bytes], data: bytes) -> None:
    payload = Payload(metadata=metadata, data=data)
    assert await unseal(await seal(payload), OLD) == payload


async def test_nothing_of_a_payload_shows_but_the_name_of_its_key() -> None:
    sealed = await seal(PLAIN)
    assert CANARY not in sealed.SerializeToString()
    assert dict(sealed.metadata) == {"encoding": b"binary/encrypted", KEY_ID: OLD.id.encode()}


async def test_the_same_payload_never_looks_the_same_twice() -> None:
    sealed = [(await seal(PLAIN)).data for _ in range(1_000)]
    assert len(set(sealed)) == len({data[:12] for data in sealed}) == 1_000


async def test_the_newest_key_seals_and_every_key_opens() -> None:
    by_old, by_new = await seal(PLAIN), (await PayloadEncryption([NEW, OLD]).encode([PLAIN]))[0]
    assert by_new.metadata[KEY_ID] == NEW.id.encode()
    assert await unseal(by_old, NEW, OLD) == await unseal(by_new, NEW, OLD) == PLAIN


async def test_a_key_that_is_missing_is_named_and_the_content_is_not() -> None:
    with pytest.raises(PayloadUnreadable, match=OLD.id) as refused:
        await unseal(await seal(PLAIN), NEW)
    assert CANARY.decode() not in str(refused.value)


@pytest.mark.parametrize("place", [0, 11, 12, 40, -17, -16, -1])
async def test_a_payload_that_was_changed_does_not_open(place: int) -> None:
    sealed = await seal(PLAIN)
    data = bytearray(sealed.data)
    data[place] ^= 1
    sealed.data = bytes(data)
    with pytest.raises(PayloadUnreadable, match=f"{OLD.id}: it was changed"):
        await unseal(sealed, OLD)


@pytest.mark.parametrize("data", [b"", b"short", b"x" * 27])
async def test_a_payload_that_was_cut_off_does_not_open(data: bytes) -> None:
    sealed = await seal(PLAIN)
    sealed.data = data
    with pytest.raises(PayloadUnreadable):
        await unseal(sealed, OLD)


@pytest.mark.parametrize("key_id", [b"", b"\xff\xfe", b"<script>", b"a" * 100])
async def test_a_key_id_that_is_none_is_not_repeated(key_id: bytes) -> None:
    sealed = await seal(PLAIN)
    sealed.metadata[KEY_ID] = key_id
    with pytest.raises(PayloadUnreadable, match="key unknown"):
        await unseal(sealed, OLD)


async def test_a_payload_is_bound_to_the_name_of_its_key() -> None:
    sealed = (await seal(PLAIN)).data
    cipher = AESGCM(OLD.derive(PURPOSE))
    bound = b"binary/encrypted " + OLD.id.encode()
    assert Payload.FromString(cipher.decrypt(sealed[:12], sealed[12:], bound)) == PLAIN
    with pytest.raises(InvalidTag):
        cipher.decrypt(sealed[:12], sealed[12:], b"binary/encrypted " + NEW.id.encode())


async def test_what_was_stored_before_there_was_a_key_is_read_as_it_is() -> None:
    assert await unseal(PLAIN, OLD) == PLAIN
    assert await unseal(Payload(), OLD) == Payload()


async def test_a_failure_shows_its_code_and_hides_its_message() -> None:
    error = ApplicationError(CANARY.decode(), [CANARY.decode()], type="BLOCK_FAILED")
    converter, failure = make_data_converter([OLD]), Failure()
    await converter.encode_failure(error, failure)
    assert CANARY not in failure.SerializeToString()
    assert failure.application_failure_info.type == "BLOCK_FAILED"
    read = await converter.decode_failure(failure)
    assert isinstance(read, ApplicationError)
    assert (read.message, read.details, read.type) == (CANARY.decode(), ([CANARY.decode()],), "BLOCK_FAILED")


def test_each_purpose_has_a_key_of_its_own() -> None:
    derived = {key.derive(purpose) for key in (OLD, NEW) for purpose in ("key id", PURPOSE, "web ui")}
    assert len(derived) == 6
    assert not derived & {OLD.secret, NEW.secret}
    assert OLD.id not in OLD.secret.hex()


def test_a_key_does_not_show_when_it_is_printed() -> None:
    assert OLD.secret.hex() not in repr(OLD)
    assert repr(OLD.secret) not in repr(OLD)


@pytest.mark.parametrize("separator", [",", ", ", " ", "\n"])
@pytest.mark.parametrize("padding", ["=", ""])
def test_keys_are_separated_by_commas_or_blanks(separator: str, padding: str) -> None:
    texts = [base64.urlsafe_b64encode(key.secret).decode().rstrip("=") + padding for key in (NEW, OLD)]
    assert parse_encryption_keys(separator.join(texts)) == (NEW, OLD)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no key"),
        (" , ", "holds no key"),
        ("changeme", "key 1 is not 32 bytes"),
        ("0" * 64, "key 1 is not 32 bytes"),
        (base64.urlsafe_b64encode(b"x" * 32).decode() + " unprintable\N{SNOWMAN}", "key 2 is not 32 bytes"),
    ],
)
def test_a_key_of_another_form_is_refused_and_not_repeated(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        parse_encryption_keys(text)
    assert not text.strip(" ,") or text not in str(refused.value)

"""E-mail, sent to a real mail server in the test's own process."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.blocks.calling import prepare
from app.blocks.credentials import ApiKey, CredentialsMissing, UserPassword
from app.blocks.library.email import SendEmailBlock
from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.outbound.addresses import AddressRefused
from app.outbound.http import OutboundHttp
from tests.unit.blocks.contexts import GivenCredentials, make_context

HOST = "mail.test"
USER = UserPassword("smtp", "me@example.org", "a password")
GIVEN: dict[str, Any] = {"to_email": "you@example.org", "subject": "Grüße", "body": "Hällo\n.\nbye"}


@dataclass
class Mailbox:
    """What a mail server has taken, and how it answers."""

    taken: list[Envelope] = field(default_factory=list)
    answer: str = "250 OK"
    drops: bool = False
    """Whether it hangs up in the place of an answer."""
    port: int = 0

    async def handle_DATA(self, server: SMTP, _session: Any, envelope: Envelope) -> str:  # noqa: N802 - its name there
        self.taken.append(envelope)
        if self.drops:
            cast("asyncio.Transport", server.transport).abort()
        return self.answer

    def only(self) -> EmailMessage:
        [envelope] = self.taken
        message = message_from_bytes(content_of(envelope), policy=policy.default)
        assert isinstance(message, EmailMessage)
        return message


def content_of(envelope: Envelope) -> bytes:
    assert isinstance(envelope.content, bytes)
    return envelope.content


def log_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
    is_known = (given.login, given.password) == (USER.username.encode(), USER.password.encode())
    return AuthResult(success=is_known, handled=False)


@asynccontextmanager
async def serving(*, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[Mailbox]:
    """Run a mail server; with a context for TLS the connection begins encrypted."""
    mailbox = Mailbox()

    connections: list[SMTP] = []

    def make() -> SMTP:
        made = SMTP(mailbox, authenticator=log_in, auth_require_tls=False, hostname="mail", **options)
        connections.append(made)
        return made

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, ssl=tls)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        await server.wait_closed()
        for connection in connections:
            if connection.transport is not None:
                connection.transport.close()


@dataclass(frozen=True)
class Identity:
    """A certificate for the mail server's name, and the text of it that a client trusts."""

    context: ssl.SSLContext
    pem: str


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return make_identity(tmp_path_factory.mktemp("tls"), HOST)


def make_identity(folder: Path, name: str) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "identity.pem"
    path.write_bytes(pem + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return Identity(context, pem.decode())


@pytest.fixture
async def http() -> AsyncIterator[OutboundHttp]:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    client = OutboundHttp(allowed_private_hosts=[HOST, "other.test"], resolver=resolve)
    yield client
    await client.aclose()


async def send(
    http: OutboundHttp,
    port: int,
    *,
    block: SendEmailBlock | None = None,
    host: str = HOST,
    user: Any = USER,
    **changes: Any,
) -> list[tuple[str, Any]]:
    block = block or SendEmailBlock()
    context = make_context(http=http, credentials=GivenCredentials(credentials=user))
    given: Any = prepare(block, GIVEN | {"config": {"smtp_server": host, "smtp_port": port}} | changes, {})
    return [emitted async for emitted in block.run(given, context)]


async def test_an_e_mail_arrives_as_it_was_written(http: OutboundHttp) -> None:
    async with serving() as mailbox:
        assert [
            pin for pin, _ in await send(http, mailbox.port, to_email="you@example.org, she@example.net")
        ] == ["status"]
    message = mailbox.only()
    assert (message["From"], message["To"]) == ("me@example.org", "you@example.org, she@example.net")
    assert message["Subject"] == "Grüße"
    assert message.get_content().replace("\r\n", "\n").rstrip("\n") == "Hällo\n.\nbye"
    assert mailbox.taken[0].rcpt_tos == ["you@example.org", "she@example.net"]


async def test_a_repeat_is_recognisable_by_its_message_id(http: OutboundHttp) -> None:
    async with serving() as mailbox:
        for _ in range(2):
            await send(http, mailbox.port)
    ids = [message_from_bytes(content_of(each))["Message-ID"] for each in mailbox.taken]
    assert ids[0] == ids[1]
    assert ids[0].endswith("@example.org>")


async def test_a_connection_becomes_encrypted_where_the_server_offers_it(
    http: OutboundHttp, identity: Identity
) -> None:
    trusting = SendEmailBlock(authorities=identity.pem)
    async with serving(tls_context=identity.context, require_starttls=True) as mailbox:
        await send(http, mailbox.port, block=trusting)
        assert len(mailbox.taken) == 1
        with pytest.raises(BlockUnavailable):
            await send(http, mailbox.port)
        with pytest.raises(BlockUnavailable):
            await send(http, mailbox.port, block=trusting, host="other.test")
    assert len(mailbox.taken) == 1


async def test_a_connection_begins_encrypted_on_the_port_for_that(
    http: OutboundHttp, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tls=identity.context) as mailbox:
        monkeypatch.setattr("app.blocks.library.email.TLS_PORT", mailbox.port)
        await send(http, mailbox.port, block=SendEmailBlock(authorities=identity.pem))
        with pytest.raises(BlockUnavailable):
            await send(http, mailbox.port)
    assert len(mailbox.taken) == 1


async def test_wrong_credentials_are_refused_without_being_told(http: OutboundHttp) -> None:
    async with serving() as mailbox:
        with pytest.raises(BlockError, match="credentials") as refused:
            await send(http, mailbox.port, user=UserPassword("smtp", "me@example.org", "not it"))
        assert "not it" not in repr(refused.value)
        assert mailbox.taken == []
        for missing in (None, ApiKey("smtp", "k")):
            with pytest.raises(CredentialsMissing):
                await send(http, mailbox.port, user=missing)


async def test_a_server_decides_whether_it_is_worth_trying_again(http: OutboundHttp) -> None:
    async with serving() as mailbox:
        mailbox.answer = "451 later"
        with pytest.raises(BlockUnavailable, match="451"):
            await send(http, mailbox.port)
        mailbox.answer = "554 no"
        with pytest.raises(BlockError, match="554") as refused:
            await send(http, mailbox.port)
        assert not refused.value.is_transient
        mailbox.drops = True
        with pytest.raises(BlockUnavailable) as broken:
            await send(http, mailbox.port)
        assert broken.value.details == {"outcome_unknown": True}
    with pytest.raises(BlockUnavailable, match="cannot be reached") as away:
        await send(http, mailbox.port)
    assert away.value.details == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "Hi\r\nBcc: everybody@example.org"},
        {"subject": "Hi\nX: y"},
        {"subject": "Hi\u2028X: y"},
        {"to_email": "you@example.org\r\nBcc: everybody@example.org"},
        {"to_email": "you@example.org\nRCPT TO:<x@example.org>"},
        {"to_email": "nobody"},
        {"to_email": ""},
        {"to_email": "a@b.c,"},
        {"to_email": "You <you@example.org>"},
        {"to_email": ",".join(["a@b.c"] * 51)},
        {"from_email": "me@example.org>\r\nDATA"},
    ],
)
async def test_nothing_is_slipped_into_the_head_of_an_e_mail(
    http: OutboundHttp, changes: dict[str, Any]
) -> None:
    async with serving() as mailbox:
        with pytest.raises(BlockInputInvalid):
            await send(http, mailbox.port, **changes)
    assert mailbox.taken == []


async def test_a_server_that_is_not_public_is_refused() -> None:
    http = OutboundHttp()
    for host in ("127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]"):
        with pytest.raises((AddressRefused, BlockUnavailable, BlockInputInvalid)):
            await send(http, 25, host=host)
    await http.aclose()

"""The system's own e-mails, sent to a real mail server in the test's own process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.outbound.mail import Mail, MailServer, MailTls, make_message, send_mail
from tests.unit.blocks.test_email import USER, make_identity, serving

SERVER = MailServer("localhost", 0, "Perdure <perdure@example.org>", MailTls.NONE)
MAIL = Mail("you@example.org", "Grüße 🎉", "Hällo\n.\nbye\n", "an-id")


async def test_a_server_that_is_trusted_is_spoken_to_encrypted_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = make_identity(tmp_path, "localhost")
    async with serving(tls_context=identity.context, require_starttls=True) as mailbox:
        server = replace(
            SERVER, port=mailbox.port, tls=MailTls.STARTTLS, username=USER.username, password=USER.password
        )
        with pytest.raises(BlockUnavailable):
            await send_mail(server, MAIL, timeout_seconds=10)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "identity.pem"))
        await send_mail(server, MAIL, timeout_seconds=10)
        with pytest.raises(BlockError, match="login"):
            await send_mail(replace(server, password="wrong"), MAIL, timeout_seconds=10)
    letter = mailbox.only()
    assert (letter["Subject"], letter["To"]) == (MAIL.subject, MAIL.to)
    assert letter["Message-ID"] == "<an-id@example.org>"
    assert letter.get_content().replace("\r\n", "\n") == MAIL.text


async def test_no_password_is_told_to_a_server_that_cannot_encrypt() -> None:
    async with serving() as mailbox:
        server = replace(SERVER, port=mailbox.port, tls=MailTls.STARTTLS, username="x", password="y")
        with pytest.raises(BlockUnavailable):
            await send_mail(server, MAIL, timeout_seconds=10)
    assert mailbox.taken == []


@pytest.mark.parametrize(
    ("answer", "failure"),
    [("451 later", BlockUnavailable), ("550 never", BlockError)],
    ids=["later", "never"],
)
async def test_what_the_server_does_not_take_has_failed(answer: str, failure: type[BlockError]) -> None:
    async with serving() as mailbox:
        mailbox.answer = answer
        with pytest.raises(failure) as refused:
            await send_mail(replace(SERVER, port=mailbox.port), MAIL, timeout_seconds=10)
    assert refused.type is failure


@pytest.mark.parametrize(
    "mail",
    [
        replace(MAIL, to="you@example.org\r\nBcc: victim@example.org"),
        replace(MAIL, to="you@example.org, victim@example.org"),
        replace(MAIL, to=""),
        replace(MAIL, subject="x\r\nBcc: victim@example.org"),
    ],
    ids=["header", "two", "none", "subject"],
)
def test_nothing_is_slipped_into_a_header(mail: Mail) -> None:
    with pytest.raises(BlockInputInvalid):
        make_message(SERVER, mail)

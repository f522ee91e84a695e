"""The mail server of the operator, over which the system itself writes to its users. Blocks have their own."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from enum import StrEnum

from app.errors import BlockError, BlockInputInvalid, BlockUnavailable


class MailTls(StrEnum):
    """How the connection to a mail server is encrypted."""

    STARTTLS = "starttls"
    TLS = "tls"
    """From its beginning."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MailServer:
    """A server that takes e-mail, and what it is told."""

    host: str
    port: int
    sender: str
    tls: MailTls = MailTls.STARTTLS
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail to one person."""

    to: str
    subject: str
    text: str
    message_id: str
    """The same for every attempt."""


async def send_mail(server: MailServer, mail: Mail, *, timeout_seconds: float) -> None:
    """Hand an e-mail to the server.

    Raises:
        BlockInputInvalid: The address is none.
        BlockUnavailable: The server cannot be reached, or asks to be tried later.
        BlockError: The server refuses the e-mail or the login.
    """
    import aiosmtplib  # noqa: PLC0415 - few workers send e-mail, and every one would load it

    message = make_message(server, mail)
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        timeout=timeout_seconds,
        use_tls=server.tls is MailTls.TLS,
        start_tls=server.tls is MailTls.STARTTLS,
        tls_context=ssl.create_default_context(),
        local_hostname="localhost",
        username=server.username,
        password=server.password,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            await client.connect()
            await client.send_message(message, sender=server.sender, recipients=[mail.to])
    except aiosmtplib.SMTPAuthenticationError as error:
        raise BlockError(f"The mail server refuses the login ({error.code})") from None
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise BlockError("The mail server refuses the address") from error
    except aiosmtplib.SMTPResponseException as error:
        kind = BlockUnavailable if 400 <= error.code < 500 else BlockError
        raise kind(f"The mail server refuses the e-mail ({error.code})") from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise BlockUnavailable("The mail server cannot be reached") from error
    finally:
        client.close()


def make_message(server: MailServer, mail: Mail) -> EmailMessage:
    """Return the message as it is sent.

    Raises:
        BlockInputInvalid: The address or the subject is none, such as one that would begin another header.
    """
    message = EmailMessage(policy=SMTP)
    if "," in mail.to or "@" not in mail.to:
        raise BlockInputInvalid("There is no e-mail address to write to")
    try:
        message["From"] = server.sender
        message["To"] = mail.to
        message["Subject"] = mail.subject
    except (ValueError, MessageError, IndexError):
        raise BlockInputInvalid("There is no e-mail address to write to") from None
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{mail.message_id}@{server.sender.rpartition('@')[2].rstrip('>')}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text.encode("utf-8", "replace").decode())
    return message

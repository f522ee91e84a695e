"""The block that sends e-mail."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.context import BlockContext
from app.blocks.credentials import CredentialsRef, UserPassword
from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.graph.credentials import CredentialsNeed, CredentialsType
from app.outbound.addresses import is_public
from app.outbound.named_tls import NamedTls

if TYPE_CHECKING:
    import aiosmtplib

TLS_PORT = 465
TIMEOUT_SECONDS = 30.0
MAX_RECIPIENTS = 50
MAX_BODY_LENGTH = 5_000_000

_ADDRESS = re.compile(r"[^\s@<>,;:\"\\()\[\]\x00-\x1f]{1,64}@[A-Za-z0-9\u00a1-\uffff.-]{1,253}")
_BREAKS = re.compile(r"[\r\n\x00\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""Whatever any program on the way may take for the end of a line."""


class SMTPConfig(BaseModel):
    """A server that takes e-mail."""

    smtp_server: str
    """Its host name."""
    smtp_port: int = Field(default=587, ge=1, le=65_535)
    """Its port. On 465 the connection begins encrypted, on others it becomes so if the server offers it."""


class SendEmailBlock(RemoteBlock):
    """Send an e-mail through a mail server of yours.

    A password goes to a server on the public internet only over an encrypted connection to a verified name. When a
    call has to be repeated, the message has the same Message-ID as before, by which it is recognisable.
    """

    id = "4335878a-394e-4e67-adf2-919877ff49ae"
    categories = (BlockCategory.OUTPUT,)
    is_sensitive = True
    timeout_seconds = 120.0
    credentials = MappingProxyType(
        {"credentials": CredentialsNeed(providers=("smtp",), types=(CredentialsType.USER_PASSWORD,))}
    )

    class Input(BlockInput):
        """The e-mail, and the server."""

        to_email: str
        """The recipient; several are separated by commas."""
        subject: str = Field(max_length=1_000)
        """One line."""
        body: str = Field(max_length=MAX_BODY_LENGTH)
        """Plain text."""
        config: SMTPConfig
        """The server."""
        from_email: str = ""
        """The sender; the user name of the credentials when empty."""
        credentials: CredentialsRef | None = None
        """User name and password for the server."""

    class Output(BlockOutput):
        """What came of it."""

        status: str
        """That the server has taken the e-mail."""

    def __init__(self, *, authorities: str | None = None) -> None:
        """Make the block.

        Args:
            authorities: PEM text of authorities to trust besides the public ones.
        """
        self._authorities = authorities

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Send the e-mail.

        Raises:
            AddressRefused: The server may not be reached.
            BlockInputInvalid: An address or the subject is none.
            BlockUnavailable: The server cannot be reached, or asks to be tried later.
            BlockError: The server refuses the e-mail or the credentials.
        """
        import aiosmtplib  # noqa: PLC0415 - few graphs send e-mail, and every worker would load it

        credentials = await context.require_credentials(UserPassword)
        message = make_message(
            given, sender=given.from_email or credentials.username, key=context.idempotency_key
        )
        host, port = given.config.smtp_server.strip(), given.config.smtp_port
        [address, *_] = await context.http.checked_addresses(host, port)
        tls = NamedTls.of(host, authorities=self._authorities)
        client = aiosmtplib.SMTP(
            hostname=address,
            port=port,
            timeout=TIMEOUT_SECONDS,
            use_tls=port == TLS_PORT,
            start_tls=False,
            tls_context=tls,
            local_hostname="localhost",
        )
        try:
            with _said_for_the_user(is_sending=False):
                await client.connect()
                await _log_in(
                    client, credentials, tls, is_encrypted=port == TLS_PORT, is_public=is_public(address)
                )
            with _said_for_the_user(is_sending=True):
                await client.send_message(message)
        finally:
            client.close()
        yield "status", "The mail server has taken the e-mail"


@contextmanager
def _said_for_the_user(*, is_sending: bool) -> Iterator[None]:
    import aiosmtplib  # noqa: PLC0415 - few graphs send e-mail, and every worker would load it

    try:
        yield
    except aiosmtplib.SMTPAuthenticationError as error:
        raise BlockError(f"The mail server refuses the credentials ({error.code})") from None
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise BlockError("The mail server refuses every recipient") from error
    except aiosmtplib.SMTPResponseException as error:
        if 400 <= error.code < 500:
            raise BlockUnavailable(f"The mail server asks to be tried later ({error.code})") from error
        raise BlockError(f"The mail server refuses the e-mail ({error.code}): {error.message}") from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise BlockUnavailable(
            "The connection to the mail server broke" if is_sending else "The mail server cannot be reached",
            details={"outcome_unknown": True} if is_sending else None,
        ) from error


async def _log_in(
    client: aiosmtplib.SMTP,
    credentials: UserPassword,
    tls: ssl.SSLContext,
    *,
    is_encrypted: bool,
    is_public: bool,
) -> None:
    await client.ehlo()
    if not is_encrypted and client.supports_extension("starttls"):
        await client.starttls(tls_context=tls)
        await client.ehlo()
        is_encrypted = True
    if is_public and not is_encrypted:
        # Whoever sits in between could have taken the offer out of the greeting.
        raise BlockError("The mail server does not encrypt the connection, so it is given no password")
    if client.supports_extension("auth"):
        await client.login(credentials.username, credentials.password)


def make_message(given: SendEmailBlock.Input, *, sender: str, key: str) -> EmailMessage:
    """Return the message.

    Args:
        given: The inputs.
        sender: The address that it comes from.
        key: The same for every attempt; makes the Message-ID.

    Raises:
        BlockInputInvalid: An address or the subject is none.
    """
    recipients = [each.strip() for each in given.to_email.split(",")]
    if len(recipients) > MAX_RECIPIENTS:
        raise BlockInputInvalid(f"An e-mail has {MAX_RECIPIENTS} recipients at most")
    for pin, addresses in (("to_email", recipients), ("from_email", [sender])):
        if not all(map(_ADDRESS.fullmatch, addresses)):
            raise BlockInputInvalid(f"`{pin}` is not an e-mail address")
    if _BREAKS.search(given.subject):
        raise BlockInputInvalid("`subject` has to be one line")
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Subject"] = given.subject
    message["Date"] = format_datetime(datetime.now(UTC))
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:40]
    message["Message-ID"] = f"<{digest}@{sender.rpartition('@')[2]}>"
    message.set_content(given.body.encode("utf-8", "replace").decode())
    return message

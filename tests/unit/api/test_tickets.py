"""Tickets say who takes them and for what, and are ours alone."""

from __future__ import annotations

import time
import uuid

import pytest

from app.api.auth import ADMIN, Caller
from app.api.live.channels import EXECUTION, USER, Channel
from app.api.live.tickets import LIFETIME_SECONDS, READ_ONLY, TicketSigner
from app.encryption.keys import EncryptionKey
from app.errors import Forbidden, Unauthenticated

OLD, NEW = (EncryptionKey(bytes([number]) * 32) for number in (1, 2))
HERE = Channel(EXECUTION, uuid.uuid4())


def test_a_ticket_is_of_its_caller_with_no_more_rights_than_to_read_and_ends_when_they_do() -> None:
    valid_until = time.time() + 5
    caller = Caller(
        "who", "who@example.org", ADMIN, scopes=None, api_key_id=uuid.uuid4(), expires_at=valid_until
    )
    text, expires_at = TicketSigner([NEW]).write(caller, HERE)
    ticket = TicketSigner([NEW]).read(text)
    assert (ticket.channel, ticket.expires_at) == (HERE, expires_at)
    assert 0 < expires_at - time.time() <= LIFETIME_SECONDS
    let_in = ticket.caller
    assert (let_in.user_id, let_in.api_key_id, let_in.expires_at) == ("who", caller.api_key_id, valid_until)
    assert let_in.scopes == READ_ONLY
    assert let_in.role != ADMIN


def test_a_ticket_of_an_older_key_lets_in_and_one_of_no_key_does_not() -> None:
    caller = Caller("who", "", "user")
    text, _ = TicketSigner([OLD]).write(caller, Channel(USER))
    assert TicketSigner([NEW, OLD]).read(text).caller.user_id == "who"
    with pytest.raises(Unauthenticated):
        TicketSigner([NEW]).read(text)
    with pytest.raises(Unauthenticated):
        TicketSigner([]).read(text)
    with pytest.raises(Forbidden):
        TicketSigner([]).write(caller, Channel(USER))

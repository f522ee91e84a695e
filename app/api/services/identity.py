"""The ids of executions, and what tells the repeat of a request from a clash."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
import uuid
from typing import Any

EXECUTIONS = uuid.UUID("5f0c7a8e-6d4f-4d59-9b35-0f6c9d9a0c11")
"""Namespace of the ids that follow from idempotency keys."""
_VARIANT = 0b10 << 62
_VERSION = 0x7 << 12


def make_execution_id() -> uuid.UUID:
    """Return a new id that sorts by time, as UUID version 7 lays it down."""
    milliseconds = time.time_ns() // 1_000_000
    high = (milliseconds & (2**48 - 1)) << 16 | _VERSION | secrets.randbits(12)
    return uuid.UUID(int=high << 64 | _VARIANT | secrets.randbits(62))


def execution_id_of(owner: str, idempotency_key: str) -> uuid.UUID:
    """Return the id of the execution that an owner starts under a key."""
    return uuid.uuid5(EXECUTIONS, json.dumps([owner, idempotency_key]))


def fingerprint_of(request: Any) -> str:
    """Return the hash of a request's content, whatever the order of its keys."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()

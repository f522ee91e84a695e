"""What Temporal's Web UI and command line need to show payloads: a remote codec, as Temporal calls it."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.dependencies import CallerDep, ResourcesDep
from app.api.open_routes import CapabilityRoute
from app.api.route import ReadingRoute
from app.api.schemas.codec import PayloadsView
from app.api.schemas.errors import responses

router = APIRouter(prefix="/codec", tags=["codec"], route_class=ReadingRoute)

# The Web UI of the embedded stack has nobody logged in and so no token to send.
capability_router = APIRouter(
    prefix="/codec/{capability}", route_class=CapabilityRoute, include_in_schema=False
)


@router.post("/decode", responses=responses(403, 413))
async def decode(body: PayloadsView, api: ResourcesDep, _: CallerDep) -> PayloadsView:
    """Decrypt payloads from Temporal's history. For administrators.

    A payload that cannot be decrypted, or is not encrypted, comes back as it is.
    """
    return PayloadsView(payloads=await api.codec.decrypt(body.payloads))


@router.post("/encode", responses=responses(403, 413))
async def encode(body: PayloadsView, api: ResourcesDep, _: CallerDep) -> PayloadsView:
    """Encrypt payloads as the engine would. For administrators."""
    return PayloadsView(payloads=await api.codec.encrypt(body.payloads))


@capability_router.post("/decode")
async def decode_by_capability(body: PayloadsView, api: ResourcesDep) -> PayloadsView:
    """Decrypt payloads for whoever knows the path."""
    return PayloadsView(payloads=await api.codec.decrypt(body.payloads))


@capability_router.post("/encode")
async def encode_by_capability(body: PayloadsView, api: ResourcesDep) -> PayloadsView:
    """Encrypt payloads for whoever knows the path."""
    return PayloadsView(payloads=await api.codec.encrypt(body.payloads))

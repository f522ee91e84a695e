"""How this project connects to Temporal, and the search attributes that it registers there.

The one place that decides the data converter, so that API, workers and replayers cannot differ in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client, Interceptor, TLSConfig
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes
from temporalio.runtime import Runtime
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode

from app.encryption.keys import EncryptionKey
from app.encryption.payloads import PayloadEncryption

KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
INT = IndexedValueType.INDEXED_VALUE_TYPE_INT

SEARCH_ATTRIBUTES: Mapping[str, IndexedValueType.ValueType] = {
    "GraphId": KEYWORD,
    "GraphVersion": INT,
    "UserId": KEYWORD,
    "Trigger": KEYWORD,
    "GraphStatus": KEYWORD,
    "ParentExecutionId": KEYWORD,
    "ScheduleRevision": INT,
}
"""Attributes by which executions can be found in Temporal's Web UI; a server takes ten keywords and no more."""


@dataclass(frozen=True, kw_only=True)
class TemporalTarget:
    """Where Temporal is and how to speak to it."""

    address: str
    """host:port of the front end."""

    namespace: str = "default"
    """Namespace of all workflows and schedules."""

    tls: TLSConfig | None = None
    """Certificates, when the connection is encrypted."""

    api_key: str | None = field(default=None, repr=False)
    """Key for Temporal Cloud."""

    encryption_keys: Sequence[EncryptionKey] = ()
    """Keys for everything that Temporal stores for us, newest first; without one it is stored as it is."""


def make_data_converter(encryption_keys: Sequence[EncryptionKey] = ()) -> DataConverter:
    """Build the converter of everything that goes into Temporal's history: JSON, never pickle, and encrypted.

    Args:
        encryption_keys: Newest first; without one nothing is encrypted.
    """
    if not encryption_keys:
        return DataConverter.default
    return replace(
        DataConverter.default,
        payload_codec=PayloadEncryption(encryption_keys),
        # A failure's message may quote a value, and its stack trace hold one; as attributes they are encrypted too.
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


async def connect(
    target: TemporalTarget, *, interceptors: Sequence[Interceptor] = (), runtime: Runtime | None = None
) -> Client:
    """Connect to Temporal.

    Args:
        target: Where it is.
        interceptors: What goes along with every call; those for workers too go along with their work.
        runtime: Of the SDK; that of the process unless said otherwise.

    Raises:
        RuntimeError: Temporal cannot be reached.
    """
    return await Client.connect(
        target.address,
        namespace=target.namespace,
        data_converter=make_data_converter(target.encryption_keys),
        tls=target.tls if target.tls is not None else target.api_key is not None,
        api_key=target.api_key,
        interceptors=interceptors,
        runtime=runtime,
        # Compressing costs more than it saves where no network lies between: a twentieth of the CPU of a remote call.
        grpc_compression=GrpcCompression.NONE
        if _is_on_this_machine(target.address)
        else GrpcCompression.GZIP,
    )


def _is_on_this_machine(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    return host in {"localhost", "::1"} or host.startswith("127.")


def make_tls(
    *,
    is_on: bool,
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    domain: str | None = None,
) -> TLSConfig | None:
    """Read the certificates of an encrypted connection.

    Args:
        is_on: Encrypt even when no file is named.
        ca: PEM file of the server's authority.
        cert: PEM file of our certificate.
        key: PEM file of its key.
        domain: Server name to expect.

    Raises:
        OSError: A file cannot be read.
    """
    if not (is_on or ca or cert or key or domain):
        return None
    return TLSConfig(
        server_root_ca_cert=ca.read_bytes() if ca else None,
        client_cert=cert.read_bytes() if cert else None,
        client_private_key=key.read_bytes() if key else None,
        domain=domain,
    )


async def register_search_attributes(client: Client) -> None:
    """Register what is missing of our search attributes; repeating it changes nothing.

    Raises:
        RPCError: Temporal is not reachable, or we may not register there.
    """
    operator = client.operator_service
    known = await operator.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
    missing = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name not in known.custom_attributes}
    if not missing:
        return
    try:
        await operator.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )
    except RPCError as error:
        # Another process was quicker; it registers the same names.
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise


def workflow_web_url(temporal_ui_url: str, *, namespace: str, workflow_id: str) -> str:
    """Return the page of a workflow in Temporal's Web UI."""
    return f"{temporal_ui_url.rstrip('/')}/namespaces/{namespace}/workflows/{workflow_id}"

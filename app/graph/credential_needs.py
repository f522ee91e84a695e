"""Which credentials the nodes of a graph need, how those needs are grouped for people, and whether a choice fits them.

Needs that the same credentials meet are one entry of the credentials schema, with one key. The key of a node is decided
when its version is saved and kept with it, so a choice made by that key stays valid. Secrets are not known here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from app.graph.credentials import CredentialsNeed, CredentialsType
from app.graph.definition import GraphDefinition, Node
from app.graph.pins import PinNameInvalid, base_name
from app.graph.signature import BlockSignature
from app.graph.validation import Signatures

OPTIONAL = "credentials_optional"
"""The setting in a node's metadata that has it skipped when its credentials are not given."""


@dataclass(frozen=True, slots=True)
class NodeNeed:
    """The credentials that one input of one node is for."""

    node_id: str
    field: str
    key: str
    """Of the entry in the credentials schema."""
    providers: tuple[str, ...]
    """Those it may be for, in the block's order."""
    types: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    host: str = ""
    """The host that they are for, where the node says which."""
    discriminator: str = ""
    values: tuple[str, ...] = ()
    """What the node holds in the discriminating input; empty when a link or the run decides."""
    mapping: Mapping[str, str] | None = None
    """Which provider each of these values stands for."""
    is_required: bool = True
    """Whether the block can do nothing without."""
    is_optional: bool = False
    """Whether its author lets the node be skipped without."""
    given: str = ""
    """Id of the credentials that the node itself names."""

    @property
    def is_skipped_without(self) -> bool:
        """Answer whether the node is skipped when it is reached without credentials."""
        return self.is_required and self.is_optional

    @property
    def has_to_be_chosen(self) -> bool:
        """Answer whether nothing can be executed before credentials are chosen."""
        return self.is_required and not self.is_optional and not self.given


def list_needs(graph: GraphDefinition, signatures: Signatures) -> list[NodeNeed]:
    """Return what the nodes of a graph need, in the graph's order. What is nested in it is left out."""
    needs: list[NodeNeed] = []
    linked: dict[str, set[str]] | None = None
    for node in graph.nodes:
        signature = signatures.get(node.block_id)
        if signature is None or not signature.credentials:
            continue
        if linked is None:
            linked = _linked_fields(graph)
        of_node = linked.get(node.id, set())
        needs += [_make_need(node, signature, field, of_node) for field in signature.credentials]
    return needs


def credentials_schema(needs: Iterable[NodeNeed]) -> dict[str, Any]:
    """Return the JSON schema of the credentials to choose for an execution.

    Args:
        needs: Of the graph's own nodes, and of those of every graph that is nested in it.
    """
    groups: dict[str, list[NodeNeed]] = {}
    for need in needs:
        groups.setdefault(need.key, []).append(need)
    return {
        "type": "object",
        "properties": {key: _entry(group) for key, group in groups.items()},
        "required": [key for key, group in groups.items() if any(need.has_to_be_chosen for need in group)],
    }


def needs_to_json(needs: Iterable[NodeNeed]) -> list[dict[str, Any]]:
    """Return needs as they are kept with their version."""
    return [
        {
            "node_id": need.node_id,
            "field": need.field,
            "key": need.key,
            "providers": list(need.providers),
            "types": list(need.types),
            "scopes": list(need.scopes),
            "host": need.host,
            "discriminator": need.discriminator,
            "values": list(need.values),
            "mapping": None if need.mapping is None else dict(need.mapping),
            "is_required": need.is_required,
            "is_optional": need.is_optional,
            "given": need.given,
        }
        for need in needs
    ]


def needs_from_json(document: Iterable[Mapping[str, Any]]) -> list[NodeNeed]:
    """Read them back."""
    lists = ("providers", "types", "scopes", "values")
    return [NodeNeed(**{**entry, **{name: tuple(entry[name]) for name in lists}}) for entry in document]


def read_choice(value: Any) -> str:
    """Return the id in what somebody chose, `{id, …}` or the id alone; empty when nothing was chosen."""
    chosen = value.get("id") if isinstance(value, Mapping) else value
    return chosen.strip() if isinstance(chosen, str) else ""


def host_of(url: Any) -> str:
    """Return the host of a URL with its port if it names one; empty when there is none to be seen."""
    if not isinstance(url, str):
        return ""
    text = url.strip()
    try:
        return urlsplit(text if "://" in text else f"//{text}").netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def _make_need(node: Node, signature: BlockSignature, field: str, linked: Collection[str]) -> NodeNeed:
    need = signature.credentials[field]
    value = _discriminating(node, signature, need, linked)
    providers, host = need.providers, ""
    mapping: dict[str, str] | None = None
    if CredentialsType.HOST_SCOPED in need.types:
        host = host_of(value)
    elif need.provider_of is not None and value is not None:
        provider = need.provider_of(value)
        if provider is not None:
            providers, mapping = (provider,), {value: provider}
    types = tuple(kind.value for kind in need.types)
    return NodeNeed(
        node_id=node.id,
        field=field,
        key=_key({*providers, *([host] if host else [])}, types),
        providers=providers,
        types=types,
        scopes=need.scopes,
        host=host,
        discriminator=need.discriminator,
        values=() if value is None else (value,),
        mapping=mapping,
        is_required=need.is_required,
        is_optional=node.metadata.get(OPTIONAL) is True,
        given=read_choice(node.input_default.get(field)),
    )


def _discriminating(
    node: Node, signature: BlockSignature, need: CredentialsNeed, linked: Collection[str]
) -> str | None:
    """Return what the node holds in the discriminating input, or None where it is not known before it runs."""
    if not need.discriminator or need.discriminator in linked:
        return None
    value = node.input_default.get(need.discriminator)
    pin = signature.inputs.get(need.discriminator)
    if value is None and pin is not None:
        value = pin.default
    return str(value) if isinstance(value, str) and value else None


def _key(providers: Collection[str], types: Collection[str]) -> str:
    return f"{'-'.join(sorted(providers))}_{'-'.join(sorted(types))}_credentials"


def _linked_fields(graph: GraphDefinition) -> dict[str, set[str]]:
    linked: dict[str, set[str]] = {}
    for link in graph.links:
        try:
            linked.setdefault(link.sink_id, set()).add(base_name(link.sink_name))
        except PinNameInvalid:
            # Reported with the links.
            continue
    return linked


def _entry(group: Sequence[NodeNeed]) -> dict[str, Any]:
    first = group[0]
    providers = list(dict.fromkeys(provider for need in group for provider in need.providers))
    types = list(dict.fromkeys(kind for need in group for kind in need.types))
    mappings = [need.mapping for need in group if need.mapping is not None]
    return {
        "type": "object",
        "title": f"{first.host or ', '.join(providers)} credentials",
        "properties": {
            "id": {"type": "string", "title": "Id"},
            "provider": {"type": "string", "enum": providers, "title": "Provider"},
            "type": {"type": "string", "enum": types, "title": "Type"},
            "title": {"type": ["string", "null"], "default": None, "title": "Title"},
        },
        "required": ["id", "provider", "type"],
        "credentials_provider": providers,
        "credentials_types": types,
        "credentials_scopes": sorted({scope for need in group for scope in need.scopes}),
        "discriminator": first.discriminator or None,
        "discriminator_mapping": {value: name for each in mappings for value, name in each.items()} or None,
        "discriminator_values": list(dict.fromkeys(value for need in group for value in need.values)),
    }

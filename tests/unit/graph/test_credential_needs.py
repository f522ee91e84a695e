"""How the needs of nodes are grouped into what a person chooses, and when a choice fits them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from app.graph.compilation import compile_graph
from app.graph.credential_choices import (
    KnownCredentials,
    check_choices,
    check_given,
    find_misfit,
    is_host_covered,
    read_choices,
)
from app.graph.credential_needs import (
    credentials_schema,
    host_of,
    list_needs,
    needs_from_json,
    needs_to_json,
    read_choice,
)
from app.graph.credentials import CredentialsNeed, CredentialsType
from app.graph.definition import GraphDefinition, Link, Node
from app.graph.signature import BlockSignature, InputPin
from tests.unit.graph.small_blocks import make_block

PROVIDERS = {"gpt-4o": "openai", "claude": "anthropic"}


def _block(slug: str, pins: Mapping[str, Any], **needs: CredentialsNeed) -> BlockSignature:
    return replace(make_block(slug, pins), credentials=needs)


class _Blocks:
    def __init__(self, *blocks: BlockSignature) -> None:
        self._blocks = {block.slug: block for block in blocks}

    def get(self, ref: str, /) -> BlockSignature | None:
        return self._blocks.get(ref)


MODEL = InputPin(str, is_required=False, default="gpt-4o")
BLOCKS = _Blocks(
    make_block("plain", {"a": Any}),
    _block("search", {"q": str}, credentials=CredentialsNeed(("acme",))),
    _block(
        "mail", {"to": str}, credentials=CredentialsNeed(("google",), (CredentialsType.OAUTH2,), ("send",))
    ),
    _block(
        "read", {"q": str}, credentials=CredentialsNeed(("google",), (CredentialsType.OAUTH2,), ("read",))
    ),
    _block(
        "two",
        {},
        credentials=CredentialsNeed(("b", "a"), (CredentialsType.USER_PASSWORD, CredentialsType.API_KEY)),
    ),
    _block(
        "fetch",
        {"url": str},
        credentials=CredentialsNeed(("http",), (CredentialsType.HOST_SCOPED,), discriminator="url"),
    ),
    replace(
        _block(
            "ask",
            {"prompt": str},
            credentials=CredentialsNeed(
                ("openai", "anthropic"), is_required=False, discriminator="model", provider_of=PROVIDERS.get
            ),
        ),
        inputs={"model": MODEL},
    ),
)


def graph_of(*nodes: Node, links: tuple[Link, ...] = ()) -> GraphDefinition:
    return GraphDefinition(nodes, links)


def schema_of(*nodes: Node, links: tuple[Link, ...] = ()) -> dict[str, Any]:
    return credentials_schema(list_needs(graph_of(*nodes, links=links), BLOCKS))


def test_a_graph_that_needs_none_has_an_empty_schema() -> None:
    assert schema_of(Node("a", "plain"), Node("b", "unknown")) == {
        "type": "object",
        "properties": {},
        "required": [],
    }


def test_needs_that_the_same_credentials_meet_are_one_entry() -> None:
    schema = schema_of(Node("a", "mail"), Node("b", "read"), Node("c", "search"), Node("d", "mail"))
    assert list(schema["properties"]) == ["google_oauth2_credentials", "acme_api_key_credentials"]
    assert schema["properties"]["google_oauth2_credentials"]["credentials_scopes"] == ["read", "send"]


def test_a_key_names_its_providers_and_types_in_their_order() -> None:
    schema = schema_of(Node("a", "two"))
    assert list(schema["properties"]) == ["a-b_api_key-user_password_credentials"]
    entry = schema["properties"]["a-b_api_key-user_password_credentials"]
    assert entry["properties"]["provider"]["enum"] == ["b", "a"]
    assert entry["required"] == ["id", "provider", "type"]


@pytest.mark.parametrize(
    ("constants", "key", "mapping"),
    [
        ({}, "openai_api_key_credentials", {"gpt-4o": "openai"}),
        ({"model": "claude"}, "anthropic_api_key_credentials", {"claude": "anthropic"}),
        ({"model": "of nobody"}, "anthropic-openai_api_key_credentials", None),
    ],
)
def test_the_provider_of_a_model_follows_from_its_name(
    constants: dict[str, Any], key: str, mapping: dict[str, str] | None
) -> None:
    schema = schema_of(Node("a", "ask", constants))
    assert list(schema["properties"]) == [key]
    assert schema["required"] == []
    entry = schema["properties"][key]
    assert entry["discriminator"] == "model"
    assert entry["discriminator_mapping"] == mapping
    assert entry["discriminator_values"] == [constants.get("model", "gpt-4o")]


def test_a_model_that_comes_over_a_link_leaves_the_provider_open() -> None:
    link = Link("b", "a", "out", "model")
    schema = schema_of(Node("a", "ask", {"model": "claude"}), Node("b", "plain"), links=(link,))
    assert list(schema["properties"]) == ["anthropic-openai_api_key_credentials"]
    assert schema["properties"]["anthropic-openai_api_key_credentials"]["discriminator_values"] == []


def test_headers_are_asked_for_host_by_host() -> None:
    schema = schema_of(
        Node("a", "fetch", {"url": "https://API.example.com/v1"}),
        Node("b", "fetch", {"url": "api.example.com/v2"}),
        Node("c", "fetch", {"url": "https://other.org:8443"}),
        Node("d", "fetch"),
    )
    assert list(schema["properties"]) == [
        "api.example.com-http_host_scoped_credentials",
        "http-other.org:8443_host_scoped_credentials",
        "http_host_scoped_credentials",
    ]


def test_only_what_has_to_be_chosen_is_required() -> None:
    optional = {"credentials_optional": True}
    given = {"credentials": {"id": "c"}}
    assert schema_of(Node("a", "search", {}, optional))["required"] == []
    assert schema_of(Node("a", "search", given))["required"] == []
    assert schema_of(Node("a", "search", {}, optional), Node("b", "search"))["required"] == [
        "acme_api_key_credentials"
    ]


def test_needs_are_kept_and_read_back_as_they_were() -> None:
    nodes = (Node("a", "ask"), Node("b", "fetch", {"url": "https://x.org"}), Node("c", "two"))
    needs = list_needs(graph_of(*nodes), BLOCKS)
    assert needs_from_json(needs_to_json(needs)) == needs


def test_a_compiled_node_knows_its_key_and_one_without_needs_has_nothing_to_know() -> None:
    graph = graph_of(Node("a", "plain"), Node("b", "search", {}, {"credentials_optional": True}))
    plain, search = compile_graph(graph, BLOCKS).configuration
    assert "credentials" not in plain
    assert search["credentials"] == {"credentials": ["acme_api_key_credentials", True]}


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        ({"id": "c", "provider": "p"}, "c"),
        ("c", "c"),
        (None, ""),
        ({}, ""),
        ({"id": None}, ""),
        (5, ""),
        ([], ""),
    ],
)
def test_a_choice_is_an_id_or_an_object_with_one(value: Any, chosen: str) -> None:
    assert read_choice(value) == chosen


def test_a_choice_is_checked_by_node_and_that_of_nested_graphs_by_key() -> None:
    own = list_needs(graph_of(Node("a", "search")), BLOCKS)
    nested = list_needs(graph_of(Node("x", "mail")), BLOCKS)
    keys = "acme_api_key_credentials", "google_oauth2_credentials"
    missing = check_choices(own, nested, {}, {})
    assert set(missing) == {"a", "graph"}
    assert keys[0] in missing["a"]["credentials"]
    assert keys[1] in missing["graph"][keys[1]]
    known = {
        "1": KnownCredentials("acme", "api_key"),
        "2": KnownCredentials("google", "oauth2", scopes=("send",)),
    }
    assert check_choices(own, nested, dict(zip(keys, "12", strict=True)), known) == {}
    wrong = check_choices(own, nested, dict(zip(keys, "21", strict=True)), known)
    assert "type" in wrong["a"]["credentials"]
    unknown = check_choices(own, nested, dict(zip(keys, "34", strict=True)), known)
    assert unknown["a"]["credentials"] == unknown["graph"][keys[1]] == "You have no credentials of this id"


def test_what_was_chosen_is_not_repeated_in_what_is_said_of_it() -> None:
    needs = list_needs(graph_of(Node("a", "search")), BLOCKS)
    given = {"acme_api_key_credentials": "sk-pasted-by-mistake"}
    said = f"{check_given(given, needs)}{check_choices(needs, [], read_choices(given), {})}"
    assert "sk-pasted" not in said
    assert "no credentials" in said


@pytest.mark.parametrize(
    ("covering", "host", "is_covered"),
    [
        ("api.example.com", "api.example.com", True),
        ("api.example.com", "api.example.com:443", True),
        ("*.example.com", "api.example.com", True),
        ("*.example.com", "example.org", False),
        ("*.example.com", "badexample.com", False),
        ("example.com", "api.example.com", False),
    ],
)
def test_headers_cover_their_host_alone(covering: str, host: str, is_covered: bool) -> None:
    assert is_host_covered(covering, host) is is_covered
    [need] = list_needs(graph_of(Node("a", "fetch", {"url": f"https://{host}/"})), BLOCKS)
    misfit = find_misfit(need, KnownCredentials("http", "host_scoped", covering))
    assert (misfit is None) is is_covered


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://user:secret@Example.com:1/x", "example.com:1"),
        ("example.com/x", "example.com"),
        ("http://[::1", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_host_of_a_url_is_told_without_what_surrounds_it(url: Any, host: str) -> None:
    assert host_of(url) == host

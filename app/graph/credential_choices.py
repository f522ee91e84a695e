"""Whether the credentials that somebody chose for an execution are there, and fit what the nodes need.

What was chosen is never repeated in a message: somebody may have pasted a secret where an id belongs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.graph.credential_needs import NodeNeed, host_of, read_choice
from app.graph.problems import GRAPH, NodeErrors, Problems
from app.graph.wording import quoted

_MOST_KEYS = 10


@dataclass(frozen=True, slots=True)
class KnownCredentials:
    """Credentials that the owner has, without their secret."""

    provider: str
    type: str
    host: str = ""
    """Of host-scoped ones."""
    scopes: tuple[str, ...] = ()


def read_choices(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids that were chosen, by key. What chooses nothing is left out."""
    return {key: chosen for key, value in given.items() if (chosen := read_choice(value))}


def list_chosen(needs: Iterable[NodeNeed], choices: Mapping[str, str]) -> set[str]:
    """Return the ids of all credentials that an execution would use, as they were given."""
    return {*choices.values(), *(need.given for need in needs if need.given)}


def check_given(given: Mapping[str, Any], needs: Iterable[NodeNeed]) -> NodeErrors:
    """Return what is wrong with the form of a choice: keys that nothing asks for, values that choose nothing."""
    problems = Problems()
    keys = dict.fromkeys(need.key for need in needs)
    for key, value in given.items():
        if key not in keys:
            problems.add_to_graph(key[:100], f"This graph takes no such credentials; {_only(list(keys))}")
        elif value and not read_choice(value):
            problems.add_to_graph(
                key, "Credentials are chosen by their id: {id, provider, type}, or the id alone"
            )
    return problems.node_errors


def check_choices(
    own: Iterable[NodeNeed],
    nested: Iterable[NodeNeed],
    choices: Mapping[str, str],
    known: Mapping[str, KnownCredentials],
) -> NodeErrors:
    """Return what is missing or does not fit; nothing when an execution can start.

    Args:
        own: What the graph's own nodes need. A problem is one of the node.
        nested: What the nodes of the graphs in it need. A problem is one of the graph, by the key.
        choices: Ids by key. They win over what a node names itself.
        known: What the owner has of all that is chosen, by the id as it was given.
    """
    problems = Problems()
    for need in own:
        message = _problem_with(need, choices, known)
        if message is not None:
            problems.add(need.node_id, need.field, message)
    for need in nested:
        message = _problem_with(need, choices, known)
        if message is not None:
            problems.add(GRAPH, need.key, message)
    return problems.node_errors


def find_misfit(need: NodeNeed, found: KnownCredentials) -> str | None:
    """Return why credentials do not meet a need, or None when they do."""
    if found.type not in need.types:
        return f"These credentials are of the type {found.type}; {' or '.join(need.types)} is needed"
    if found.provider not in need.providers:
        return f"These credentials are for {quoted(found.provider)}; {_providers(need)} is needed"
    if need.host and found.host and not is_host_covered(found.host, need.host):
        return f"These credentials are for the host {quoted(found.host)}, not for {quoted(need.host)}"
    lacking = [scope for scope in need.scopes if scope not in found.scopes]
    if lacking and found.type == "oauth2":
        return f"These credentials do not allow {quoted(lacking[0])}: log in again with this scope"
    return None


def is_host_covered(covering: str, host: str) -> bool:
    """Answer whether headers for one host may be for another: the same, or below it when it begins with `*.`."""
    covering, host = covering.lower(), host_of(host)
    if covering.startswith("*."):
        return host.partition(":")[0].endswith(covering.partition(":")[0][1:])
    return host.partition(":")[0] == covering.partition(":")[0]


def _problem_with(
    need: NodeNeed, choices: Mapping[str, str], known: Mapping[str, KnownCredentials]
) -> str | None:
    chosen = choices.get(need.key) or need.given
    if not chosen:
        if not need.has_to_be_chosen:
            return None
        return f"Credentials for {_providers(need)} are needed: choose them as {quoted(need.key)}"
    found = known.get(chosen)
    return "You have no credentials of this id" if found is None else find_misfit(need, found)


def _providers(need: NodeNeed) -> str:
    return need.host or " or ".join(need.providers)


def _only(keys: list[str]) -> str:
    if not keys:
        return "it takes none"
    shown = ", ".join(map(quoted, keys[:_MOST_KEYS]))
    return f"it takes {shown}" + (" and more" if len(keys) > _MOST_KEYS else "")

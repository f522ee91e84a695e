"""The command line makes API keys, is let in with them, and takes them back, against a real server."""

from __future__ import annotations

import json

from tests.e2e.commands import invoke, perdure
from tests.processes import ServerProcess


async def test_a_key_is_made_used_and_revoked_by_command(server: ServerProcess) -> None:
    url = {"PERDURE_API_URL": server.run_info.api_url}
    api = {**url, "PERDURE_API_KEY": server.token("keys@example.org")}

    code, out, err = await perdure(
        "keys", "create", "my laptop", "--scope", "blocks:read", "--scope", "keys:read", **api
    )
    assert (code, err) == (0, "")
    key = out.strip()
    assert key.startswith("prd_")

    held = {**url, "PERDURE_API_KEY": key}
    code, out, _ = invoke("keys", "list", "--json", **held)
    assert code == 0
    (listed,) = json.loads(out)
    assert (listed["name"], listed["scopes"]) == ("my laptop", ["blocks:read", "keys:read"])
    code, _, err = invoke("keys", "revoke", listed["id"], **held)
    assert (code, "FORBIDDEN (403)" in err) == (1, True)

    code, out, _ = invoke("keys", "revoke", listed["id"], **api)
    assert (code, out) == (0, f"{listed['id']}  revoked\n")
    code, _, err = invoke("keys", "list", **held)
    assert (code, "UNAUTHENTICATED (401)" in err) == (1, True)
    code, _, err = invoke("keys", "create", "odd", "--scope", "everything", **api)
    assert (code, "INVALID_REQUEST (422)" in err) == (1, True)

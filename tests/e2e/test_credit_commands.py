"""The command line says how a user stands and what credits went for, against a real server."""

from __future__ import annotations

import json

from tests.e2e.commands import invoke, perdure
from tests.processes import ServerProcess


async def test_balance_and_history_are_shown_by_command(server: ServerProcess) -> None:
    api = {"PERDURE_API_URL": server.run_info.api_url, "PERDURE_API_KEY": server.token("rich@example.org")}

    code, out, err = await perdure("credits", **api)
    assert (code, err) == (0, "")
    assert out == "1000 credits, 0 reserved\nspent today: 0\nspent: 0\n"
    code, out, _ = invoke("credits", "--json", **api)
    assert (code, json.loads(out)["credits"]) == (0, 1_000)

    code, out, _ = invoke("credits", "history", "--kind", "GRANT", **api)
    assert (code, out.split()[1:]) == (0, ["+1000", "GRANT"])
    code, out, _ = invoke("credits", "history", "--json", **api)
    assert [item["kind"] for item in json.loads(out)] == ["GRANT"]
    code, _, err = invoke("credits", "history", "--kind", "NOTHING", **api)
    assert (code, "INVALID_REQUEST (422)" in err) == (1, True)

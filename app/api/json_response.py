"""Answers as JSON in plain ASCII: any string that a block may have made can be written so."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse


class JsonResponse(JSONResponse):
    """A JSON answer. Other than starlette's it can carry lone surrogates, as escapes."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")

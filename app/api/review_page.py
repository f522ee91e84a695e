"""The page on which the holder of a link answers a review: one form, no script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import Any

from starlette.responses import HTMLResponse

from app.api.schemas.reviews import MAX_MESSAGE_CHARACTERS, QuestionView

SHOWN_CHARACTERS = 200_000
"""More of the data is not shown on a page, and then they are not edited there."""

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem}"
    "pre,textarea{font:13px/1.5 ui-monospace,monospace;width:100%;box-sizing:border-box}"
    "pre{background:#f4f4f4;padding:1rem;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}"
    "button{font:inherit;padding:.5rem 1.5rem;margin:1rem 1rem 0 0}"
)
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; style-src 'sha256-"
        + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
        + "'"
    ),
    # The address is the permission to answer: it must not be told to anybody.
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


def question_page(question: QuestionView) -> HTMLResponse:
    """Return the page that asks."""
    instructions = f"<p>{escape(question.instructions)}</p>" if question.instructions else ""
    due = f"<p>To be answered until {escape(question.due_at.isoformat())}.</p>" if question.due_at else ""
    return _page(
        question.name,
        f'{instructions}{due}<form method="post">{_data_field(question)}'
        '<p><label for="message">Message</label><br>'
        f'<textarea id="message" name="message" rows="3" maxlength="{MAX_MESSAGE_CHARACTERS}"></textarea></p>'
        '<button name="approved" value="true">Approve</button>'
        '<button name="approved" value="false">Reject</button></form>',
    )


def notice_page(text: str, *, status_code: int = 200) -> HTMLResponse:
    """Return a page that only says something."""
    return _page(text, "", status_code=status_code)


def _data_field(question: QuestionView) -> str:
    text = json.dumps(question.data, indent=2, ensure_ascii=False)
    if len(text) > SHOWN_CHARACTERS:
        cut = escape(text[:SHOWN_CHARACTERS])
        return (
            f"<pre>{cut}</pre><p><strong>This is not all of it.</strong> The whole is in the JSON answer.</p>"
        )
    if not question.editable:
        return f"<pre>{escape(text)}</pre>"
    rows = min(30, text.count("\n") + 2)
    # A line end directly behind the tag is dropped by browsers.
    return f'<textarea name="data" rows="{rows}" aria-label="Data (JSON)">\n{escape(text)}</textarea>'


def _page(title: str, body: str, *, status_code: int = 200) -> HTMLResponse:
    title = escape(title)
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>"
    )
    return _Page(html, status_code=status_code, headers=_HEADERS)


class _Page(HTMLResponse):
    def render(self, content: Any) -> bytes:
        """Return the page's bytes; what has no UTF-8 form is replaced."""
        return str(content).encode("utf-8", "replace")

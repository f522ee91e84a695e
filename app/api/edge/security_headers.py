"""What every answer tells browsers: show it in no frame, run nothing in it, tell nobody where it was found."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders

POLICY = "Content-Security-Policy"
NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# The pages of the documentation are FastAPI's, which load their scripts from there.
_SCRIPTED = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; connect-src 'self'; "
    "script-src 'unsafe-inline' https://cdn.jsdelivr.net; worker-src blob:; "
    "style-src 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    "font-src https://fonts.gstatic.com; "
    "img-src data: https://fastapi.tiangolo.com https://cdn.redoc.ly"
)
_PAGES = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc"})
_OF_EVERY_ANSWER: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HSTS = "max-age=31536000"


def secure(headers: MutableHeaders, *, path: str, is_https: bool) -> None:
    """Add what browsers are told. What an answer says of itself stays.

    Args:
        headers: Of the answer.
        path: That was asked for.
        is_https: Whether people reach the API by https.
    """
    for name, value in _OF_EVERY_ANSWER.items():
        headers.setdefault(name, value)
    headers.setdefault(POLICY, _SCRIPTED if path in _PAGES else NOTHING)
    if is_https:
        headers["Strict-Transport-Security"] = _HSTS

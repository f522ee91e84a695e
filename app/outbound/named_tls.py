"""TLS to an address that was checked, with a certificate for the name that it was found under."""

from __future__ import annotations

import ssl
from typing import Any


class NamedTls(ssl.SSLContext):
    """Expects a certificate for one name, whatever address its user connects to."""

    name: str

    @classmethod
    def of(cls, name: str, *, authorities: str | None = None) -> NamedTls:
        """Return what verifies a name.

        Args:
            name: The host's.
            authorities: PEM text of further authorities to trust.
        """
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.name = name
        context.load_default_certs()
        if authorities:
            context.load_verify_locations(cadata=authorities)
        return context

    @classmethod
    def unverified(cls) -> NamedTls:
        """Return what encrypts and verifies nothing."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.name = ""
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def wrap_bio(self, *arguments: Any, server_hostname: Any = None, **options: Any) -> ssl.SSLObject:
        """Begin TLS for the name."""
        return super().wrap_bio(*arguments, server_hostname=self.name or server_hostname, **options)

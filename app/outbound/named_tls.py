"""TLS to an address that was checked, with a certificate for the name that it was found under."""

from __future__ import annotations

import ssl


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

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin TLS for the name."""
        return super().wrap_bio(incoming, outgoing, server_side, self.name or server_hostname, session)

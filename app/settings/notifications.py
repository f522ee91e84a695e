"""Settings that say how users are told of what happens while they look elsewhere."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, model_validator

from app.outbound.mail import MailTls
from app.settings.connections import Port


class NotificationSettings(BaseModel):
    """Notifications, and the mail server."""

    smtp_host: str | None = None
    """Mail server over which users are written to. Unset: nobody is."""

    smtp_port: Port = 587
    """Its port."""

    smtp_tls: MailTls = MailTls.STARTTLS
    """How the connection to it is encrypted: `starttls`, `tls` from its beginning, or `none`."""

    smtp_username: str | None = None
    """What to log in as there. Unset: nobody logs in."""

    smtp_password: SecretStr | None = None
    """The password for that."""

    smtp_from: str | None = None
    """The address that users are written to from."""

    notification_retry_days: float = Field(default=3.0, gt=0, le=30)
    """How long a notification that does not come through is tried."""

    notification_disable_days: float = Field(default=5.0, gt=0, le=365)
    """How long a webhook may fail before it is switched off."""

    @model_validator(mode="after")
    def _with_sender(self) -> NotificationSettings:
        if self.smtp_host is not None and not (self.smtp_from and "@" in self.smtp_from):
            raise ValueError("PERDURE_SMTP_FROM is missing: it is needed with PERDURE_SMTP_HOST")
        return self

"""SendGrid as a bundle: its client and its webhooks. It has no lists: SendGrid offers none of what it sent."""

from __future__ import annotations

import eventlet

from chassis.settings import Settings
from notifications.rules.progress import Record
from notifications.sendgrid.mailer import SendGridMailer
from notifications.sendgrid.webhooks import SendGridWebhooks, key_unknown, public_key


class SendGrid:
    """SendGrid as an implementation of the port `notifications.rules.email.MailProvider`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.mailer = SendGridMailer(settings.sendgrid.key, settings.sendgrid.base, settings.provider_timeout)

    def webhooks(self, record: Record) -> SendGridWebhooks:
        """See the port."""
        return SendGridWebhooks(self._settings.sendgrid_webhook_key, self._fetch, record)

    def _fetch(self) -> str:
        sendgrid, timeout = self._settings.sendgrid, self._settings.provider_timeout
        # All events that wait for the key wait for this call, even if the answer arrives byte by byte.
        with eventlet.Timeout(timeout, key_unknown()):
            return public_key(sendgrid.key, sendgrid.base, timeout)

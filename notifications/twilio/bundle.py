"""Twilio as a bundle: its client, its lists, its webhooks."""

from __future__ import annotations

from chassis.settings import Settings
from notifications.rules.progress import Record, Wish
from notifications.twilio.lists import TwilioLists
from notifications.twilio.texter import TwilioTexter
from notifications.twilio.webhooks import TwilioWebhooks, callback_url


class Twilio:
    """Twilio as an implementation of the port `notifications.rules.sms.SmsProvider`."""

    def __init__(self, settings: Settings) -> None:
        self._token, self._public_url = settings.twilio.secret, settings.public_url
        self.texter = TwilioTexter(
            settings.twilio.key,
            settings.twilio.secret,
            settings.twilio.base,
            settings.sms_from,
            settings.provider_connect_timeout,
            settings.provider_timeout,
            callback_url(settings.public_url, settings.twilio.live),
        )
        self.lists = TwilioLists(self.texter)

    def webhooks(self, record: Record, wish: Wish) -> TwilioWebhooks:
        """See the port."""
        return TwilioWebhooks(self._token, self._public_url, record, wish)

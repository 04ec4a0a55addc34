"""The notifications service: mail and text messages to customers, each sent once per key."""

from __future__ import annotations

import time
from typing import Any

from nameko.containers import WorkerContext
from nameko.extensions import DependencyProvider

from chassis.deadline import bounded
from chassis.injection import injected
from chassis.rpc.entrypoint import rpc
from chassis.settings import Settings
from chassis.store_provider import StoreProvider
from chassis.work.ask_once import AskOnce
from chassis.work.sweep import SWEEP_INTERVAL_S, SWEEP_TIME_S, swept
from chassis.work.tasks import FAILED, Task, listed, replayed
from chassis.work.timer import timer
from contracts.contacts import sms_fault
from contracts.errors import InvalidRequest, ShopError
from notifications.delivery import Delivery
from notifications.letter import letter
from notifications.reconcile.audit import MessageAudit
from notifications.rules.messages import (
    Mail,
    mail,
    order_paid,
    order_paid_sms,
    order_paid_subject,
    recipient,
    sms,
)
from notifications.rules.progress import Progress
from notifications.sendgrid import webhooks as sendgrid_events
from notifications.sendgrid.mailer import MailerProvider
from notifications.sendgrid.webhooks import MailEventsProvider
from notifications.store.messages import MessageStore
from notifications.twilio import webhooks as twilio_events
from notifications.twilio.lists import TwilioLists
from notifications.twilio.texter import TexterProvider
from notifications.watch import Watch

# The status in an order whose text message the shop does not send.
NOT_SENT = "not sent"


class SettingsProvider(DependencyProvider):
    """The settings of the process."""

    def setup(self) -> None:
        self.settings = Settings.from_config(self.container.config)

    def get_dependency(self, worker_ctx: WorkerContext) -> Settings:
        return self.settings


class NotificationsService:
    name = "notifications"

    settings = injected(SettingsProvider())
    store = injected(StoreProvider(MessageStore))
    mailer = injected(MailerProvider())
    mail_events = injected(MailEventsProvider())
    texter = injected(TexterProvider())

    @rpc(expected_exceptions=ShopError, once=True, most=14)
    def send_email(self, to_email: str, subject: str, content: str, from_email: str | None, key: str) -> dict[str, Any]:
        """Send a mail, once per key; the same key returns the same answer. A mail whose outcome is unknown is sent
        again, because SendGrid cannot be asked.

        Args:
            to_email, from_email: one address each; `from_email` defaults to the shop's own.
            subject: one line.
            content: text, or HTML when it begins with "<".
            key: the caller's, at most 255 characters.

        Returns:
            ``{"status code": "202", "message_id"}``

        Raises:
            InvalidRequest: a part of it cannot be mailed.
            Refused: SendGrid rejects it.
            Unavailable, ProviderFailure, OutcomeUnknown: not sent, or possibly sent; repeating is safe.
        """
        return self._mail(mail(key, to_email, from_email or self.settings.mail_from, subject, content))

    @rpc(expected_exceptions=ShopError, once=True, most=14)
    def send_sms(self, number: str, content: str, key: str) -> dict[str, Any]:
        """Send a text message. The same key returns the same answer, and sends once.

        Args:
            number: in E.164, such as +15005550006.
            content: at most 1600 characters.
            key: the caller's, at most 255 characters.

        Returns:
            ``{"status code": "201", "sid", "status"}``

        Raises:
            InvalidRequest: the number is not in E.164 or may not be texted, or the content is empty or too long.
            Refused: Twilio rejects it.
            Unavailable, ProviderFailure, OutcomeUnknown: not sent, or possibly sent; repeating is safe.
        """
        checked = sms(key, number, content, self.settings.sms_countries)
        return Delivery(self.store, AskOnce(bounded)).sms(checked, self.texter)

    @rpc(expected_exceptions=ShopError, most=14)
    def order_paid_email(self, order: dict[str, Any], label: dict[str, Any] | None, key: str) -> dict[str, Any]:
        """Mail a customer that the order is paid: its lines, totals, address, label and tracking.

        Args:
            order: the public order object.
            label: ``{"label_url", "carrier", "tracking_number"}``, or None while none is bought.
            key: as for `send_email`, which also documents the answer and the errors.
        """
        text, html = letter("order_paid", {**order_paid(order, label), "shop": self.settings.ship_from["name"]})
        checked = mail(key, recipient(order, "email"), self.settings.mail_from, order_paid_subject(order), html)
        return self._mail(Mail(checked.key, checked.to, checked.sender, checked.subject, text, html))

    @rpc(expected_exceptions=ShopError, most=14)
    def order_paid_sms(self, order: dict[str, Any], key: str) -> dict[str, Any]:
        """Text a customer that the order is paid.

        Args:
            order: the public order object; the number is its shipping's phone.
            key: as for `send_sms`, which also documents the answer and the errors.

        Returns:
            As `send_sms`, or ``{"status code": "not sent", "reason"}`` for a number that the shop does not text.
        """
        number = recipient(order, "phone")
        fault = sms_fault(number, self.settings.sms_countries)
        if fault is not None:
            return {"status code": NOT_SENT, "reason": f"The number {fault}."}
        return self.send_sms(number, order_paid_sms(order), key)

    @rpc(expected_exceptions=ShopError, most=2)
    def audit(
        self,
        part: str,
        cursor: str | None = None,
        since: float = 0.0,
        until: float = 9e12,
        ids: list[str] | None = None,
    ) -> dict[str, Any]:
        """Compare one page of our text messages with Twilio's; see `MessageAudit.page`."""
        return MessageAudit(self.store, TwilioLists(self.texter)).page(part, cursor, since, until, ids)

    @rpc(expected_exceptions=ShopError, most=2)
    def mend(self, fix: dict[str, Any]) -> str:
        """Repair a difference that `audit` found, as it proposed; see `MessageAudit.mend`."""
        return MessageAudit(self.store, TwilioLists(self.texter)).mend(fix)

    @rpc(expected_exceptions=ShopError)
    def messages(self, status: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Return messages, the newest first.

        Args:
            status: only those with this status: "queued", "sent", "delivered", "failed" or "bounced".
            limit: 1 to 1000.

        Returns:
            ``[{"key", "kind" ("email", "sms"), "recipient", "state" ("sent" once a provider accepted it), "status" (as
            above; null before), "error", "provider_id", "uncertain", "created", "sent"}]``, times in Unix seconds.
            ``uncertain``: how often it was sent again although it may have been sent before, and so how many extra
            copies may have arrived.

        Raises:
            InvalidRequest: the status or the limit is invalid.
        """
        if status is not None and status not in [each.value for each in Progress]:
            message = f"must be one of {', '.join(each.value for each in Progress)}"
            raise InvalidRequest("There is no such status.", {"errors": {"status": [message]}})
        return self.store.listed(status, _page(limit))

    @rpc(expected_exceptions=ShopError)
    def twilio_event(self, raw: str, signature: str) -> dict[str, Any]:
        """Accept an event from Twilio about a text message.

        Args:
            raw: the body, a form, each byte a character (latin-1).
            signature: the header ``X-Twilio-Signature``.

        Returns:
            ``{"received": True, "duplicate"}`` once it is stored.

        Raises:
            InvalidRequest: it is not from Twilio, or does not concern a message.
            Unavailable: it cannot be stored; Twilio must send it again.
        """
        event = twilio_events.verified(raw, signature, self.settings.twilio.secret, self.settings.public_url)
        return self._watch().keep([(event.event_id, twilio_events.KIND, event.body, True)])

    @rpc(most=4, expected_exceptions=ShopError)
    def sendgrid_event(self, raw: str, signature: str, timestamp: str) -> dict[str, Any]:
        """Accept events from SendGrid about mails.

        Args:
            raw: the body, a list of events, each byte a character (latin-1).
            signature, timestamp: the headers ``X-Twilio-Email-Event-Webhook-Signature`` and ``-Timestamp``.

        Returns, Raises: as `twilio_event`.
        """
        events = self.mail_events.verified(raw, signature, timestamp)
        kind = sendgrid_events.KIND
        return self._watch().keep((each.event_id, kind, each.body, each.matters) for each in events)

    @rpc(expected_exceptions=ShopError)
    def tasks(self, state: str = FAILED, limit: int = 100) -> list[Task]:
        """Twilio's and SendGrid's events in a state (``failed``, ``waiting``, ``done``), oldest first.

        Raises InvalidRequest for any other state, or a limit outside of 1 to 1000.
        """
        return listed([self.store.inbox.tasks], state, limit)

    @rpc(expected_exceptions=ShopError)
    def replay(self, key: str) -> Task:
        """Retry an event whose handling was given up; returns it as it then is. Raises NotFound when there is none."""
        return replayed([self.store.inbox.tasks], key).rows(key=key)[0]

    @rpc(expected_exceptions=ShopError)
    def health(self) -> dict[str, str]:
        """Whether the service can work: ``{"status", "database"}``. Raises Unavailable when not."""
        self.store.ping()
        return {"status": "ok", "database": "ok"}

    @timer(interval=SWEEP_INTERVAL_S)
    def handle_events(self) -> None:
        """Handle the waiting events."""
        swept(lambda: self._watch().handle_due(time.monotonic() + SWEEP_TIME_S))

    @timer(interval=SWEEP_INTERVAL_S)
    def poll_texts(self) -> None:
        """Ask about texts without news for a long time, because Twilio's events may be lost."""
        swept(lambda: self._watch().poll(self.settings.messages_poll))

    @timer(interval=3600)
    def forget_events(self) -> None:
        """Delete records that exist only to detect repetitions, once they have expired."""
        swept(lambda: self._watch().forget())

    def _watch(self) -> Watch:
        return Watch(self.store, self.texter)

    def _mail(self, checked: Mail) -> dict[str, Any]:
        return Delivery(self.store, AskOnce(bounded)).mail(checked, self.mailer)


def _page(limit: Any) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 1000:
        message = "must be a whole number from 1 to 1000"
        raise InvalidRequest("That is not a page size.", {"errors": {"limit": [message]}})
    return limit

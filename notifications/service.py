"""The notifications service: mail and text messages to customers, each sent once per key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chassis import webhook_service
from chassis.clock import now as clock_now
from chassis.injection import injected
from chassis.rpc.entrypoint import rpc
from chassis.store_provider import StoreProvider
from chassis.work.sweep import SWEEP_INTERVAL_S, swept
from chassis.work.tasks import page_size
from chassis.work.timer import timer
from contracts.contacts import sms_fault
from contracts.errors import InvalidRequest, NotFound, Refused, ShopError
from notifications.bootstrap import Notifications
from notifications.letter import letter
from notifications.rules.messages import (
    mail,
    order_paid,
    order_paid_sms,
    order_paid_subject,
    recipient,
    sms,
)
from notifications.rules.progress import Progress

# The status in an order whose text message the shop does not send.
NOT_SENT = "not sent"


class NotificationsService(webhook_service.WebhookService):
    name = "notifications"

    shop = injected(StoreProvider(Notifications, wired=True))

    @rpc(expected_exceptions=ShopError, idempotent=True, most=14)
    def send_email(
        self, to_email: str, subject: str, content: str, from_email: str | None, key: str, receipt: bool = False
    ) -> dict[str, Any]:
        """Send a mail, once per key; the same key returns the same answer. A mail whose outcome is unknown is sent
        again, because SendGrid cannot be asked.

        Args:
            to_email, from_email: one address each; `from_email` defaults to the shop's own.
            subject: one line.
            content: text, or HTML when it begins with "<".
            key: the caller's, at most 255 characters.
            receipt: whether the recipient needs it even after marking the shop's mail as spam, or unsubscribing.

        Returns:
            ``{"status code": "202", "message_id"}``

        Raises:
            InvalidRequest: a part of it cannot be mailed.
            Refused: SendGrid rejects it, or the recipient wants no mail but receipts (fact ``unwanted``).
            Unavailable, ProviderFailure, OutcomeUnknown: not sent, or possibly sent; repeating is safe.
        """
        sender = from_email or self.shop.settings.mail_from
        return self.shop.delivery.mail(mail(key, to_email, sender, subject, content, receipt))

    @rpc(expected_exceptions=ShopError, idempotent=True, most=14)
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
            Refused: Twilio rejects it, or the number has opted out (fact ``unwanted``).
            Unavailable, ProviderFailure, OutcomeUnknown: not sent, or possibly sent; repeating is safe.
        """
        checked = sms(key, number, content, self.shop.settings.sms_countries)
        return self.shop.delivery.sms(checked)

    @rpc(expected_exceptions=ShopError, most=14)
    def order_paid_email(self, order: dict[str, Any], label: dict[str, Any] | None, key: str) -> dict[str, Any]:
        """Mail a customer that the order is paid: its lines, totals, address, label and tracking.

        Args:
            order: the public order object.
            label: ``{"label_url", "carrier", "tracking_number", "labels": [{"tracking_number"}]}``, as
                `ShippingService.buy_label` answers; None while none is bought.
            key: as for `send_email`, which also documents the answer and the errors.
        """
        text, html = letter("order_paid", {**order_paid(order, label), "shop": self.shop.settings.ship_from["name"]})
        subject, sender = order_paid_subject(order), self.shop.settings.mail_from
        checked = mail(key, recipient(order, "email"), sender, subject, html, receipt=True)
        return self.shop.delivery.mail(replace(checked, text=text))

    @rpc(expected_exceptions=ShopError, most=14)
    def order_paid_sms(self, order: dict[str, Any], key: str) -> dict[str, Any]:
        """Text a customer that the order is paid.

        Args:
            order: the public order object; the number is its shipping's phone.
            key: as for `send_sms`, which also documents the answer and the errors.

        Returns:
            As `send_sms`, or ``{"status code": "not sent", "reason"}`` for a number that the shop does not text, or
            that has opted out.
        """
        number = recipient(order, "phone")
        fault = sms_fault(number, self.shop.settings.sms_countries)
        if fault is not None:
            return {"status code": NOT_SENT, "reason": f"The number {fault}."}
        try:
            return self.send_sms(number, order_paid_sms(order), key)
        except Refused as refusal:
            if "unwanted" not in refusal.facts:
                raise
            return {"status code": NOT_SENT, "reason": "The number has opted out of text messages."}

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
        return self.shop.store.listed(status, page_size(limit))

    @rpc(expected_exceptions=ShopError)
    def news(self, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Return what became of the messages after a sequence number: a complete feed that ends with the latest news.

        Args:
            after: the ``seq`` of the last entry that the caller knows; 0 for all.
            limit: 1 to 1000.

        Returns:
            ``[{"seq", "key", "kind", "status", "error", "unwanted", "at"}]`` by ``seq``, which only grows: ``status``
            is "delivered", "failed" or "bounced", or "sent" with the ``error`` that delays a message. ``unwanted``:
            whether its recipient wants no such messages. ``at``: Unix seconds.
        """
        return self.shop.store.feed.after(after, limit)

    @rpc(expected_exceptions=ShopError)
    def suppressed(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the recipients that get no more messages, the newest first.

        Args:
            limit: 1 to 1000.

        Returns:
            ``[{"recipient", "reason", "at"}]``: "opted out" (a number), "marked as spam" or "unsubscribed" (a mailbox,
            which gets receipts only); ``at``: Unix seconds.
        """
        return self.shop.store.suppressions.listed(page_size(limit))

    @rpc(expected_exceptions=ShopError, sensitive_arguments="recipient")
    def unsuppress(self, recipient: str) -> dict[str, bool]:
        """Send messages to a recipient again that wanted none. Twilio and SendGrid have lists of their own.

        Args:
            recipient: a number in E.164, or a mail address.

        Raises:
            NotFound: it is not suppressed.
        """
        if self.shop.store.suppressions.reason(recipient) is None:
            raise NotFound("This recipient gets messages.")
        return {"wanted": self.shop.store.suppressions.record(recipient, None, clock_now())}

    @rpc(expected_exceptions=ShopError)
    def twilio_event(self, raw: str, signature: str) -> dict[str, Any]:
        """As `webhook`, for gateways of the previous release during a rolling upgrade."""
        return self.webhook("twilio", raw, {"X-Twilio-Signature": signature})

    @rpc(expected_exceptions=ShopError, most=4)
    def sendgrid_event(self, raw: str, signature: str, timestamp: str) -> dict[str, Any]:
        """As `webhook`, for gateways of the previous release during a rolling upgrade."""
        prefix = "X-Twilio-Email-Event-Webhook"
        return self.webhook("sendgrid", raw, {f"{prefix}-Signature": signature, f"{prefix}-Timestamp": timestamp})

    @timer(interval=SWEEP_INTERVAL_S)
    def poll_texts(self) -> None:
        """Ask about texts without news for a long time, because Twilio's events may be lost."""
        swept(lambda: self.shop.watch.poll(self.shop.settings.messages_poll))

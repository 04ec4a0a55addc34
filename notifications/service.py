"""The notifications service: mail and text messages to customers, each sent once per key."""

from __future__ import annotations

from typing import Any

from chassis import webhook_service
from chassis.injection import injected
from chassis.rpc.entrypoint import rpc
from chassis.store_provider import StoreProvider
from chassis.work.sweep import SWEEP_INTERVAL_S, swept
from chassis.work.tasks import page_size
from chassis.work.timer import timer
from contracts.contacts import sms_fault
from contracts.errors import InvalidRequest, ShopError
from notifications.bootstrap import Notifications
from notifications.letter import letter
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

# The status in an order whose text message the shop does not send.
NOT_SENT = "not sent"


class NotificationsService(webhook_service.WebhookService):
    name = "notifications"

    shop = injected(StoreProvider(Notifications, wired=True))

    @rpc(expected_exceptions=ShopError, idempotent=True, most=14)
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
        return self.shop.delivery.mail(
            mail(key, to_email, from_email or self.shop.settings.mail_from, subject, content)
        )

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
            Refused: Twilio rejects it.
            Unavailable, ProviderFailure, OutcomeUnknown: not sent, or possibly sent; repeating is safe.
        """
        checked = sms(key, number, content, self.shop.settings.sms_countries)
        return self.shop.delivery.sms(checked)

    @rpc(expected_exceptions=ShopError, most=14)
    def order_paid_email(self, order: dict[str, Any], label: dict[str, Any] | None, key: str) -> dict[str, Any]:
        """Mail a customer that the order is paid: its lines, totals, address, label and tracking.

        Args:
            order: the public order object.
            label: ``{"label_url", "carrier", "tracking_number"}``, or None while none is bought.
            key: as for `send_email`, which also documents the answer and the errors.
        """
        text, html = letter("order_paid", {**order_paid(order, label), "shop": self.shop.settings.ship_from["name"]})
        checked = mail(key, recipient(order, "email"), self.shop.settings.mail_from, order_paid_subject(order), html)
        return self.shop.delivery.mail(Mail(checked.key, checked.to, checked.sender, checked.subject, text, html))

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
        fault = sms_fault(number, self.shop.settings.sms_countries)
        if fault is not None:
            return {"status code": NOT_SENT, "reason": f"The number {fault}."}
        return self.send_sms(number, order_paid_sms(order), key)

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

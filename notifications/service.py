"""The notifications service: mail and text messages to customers, each sent once per key."""

from __future__ import annotations

from typing import Any

from nameko.dependency_providers import Config

from chassis.database import StoreProvider
from chassis.deadline import bounded
from chassis.entrypoint import rpc
from contracts.errors import ShopError
from notifications.audit import MessageAudit
from notifications.delivery import Delivery
from notifications.letter import letter
from notifications.messages import (
    Mail,
    mail,
    order_paid,
    order_paid_sms,
    order_paid_subject,
    recipient,
    sms,
)
from notifications.sendgrid_email import MailerProvider
from notifications.store import MessageStore
from notifications.twilio_lists import TwilioLists
from notifications.twilio_sms import TexterProvider


class NotificationsService:
    name = "notifications"

    config = Config()
    store = StoreProvider(MessageStore)
    mailer = MailerProvider()
    texter = TexterProvider()

    @rpc(expected_exceptions=ShopError, once=True)
    def send_email(self, to_email: str, subject: str, content: str, from_email: str | None, key: str) -> dict[str, Any]:
        """Send a mail. The same key answers the same, and sends once.

        Args:
            to_email, from_email: one address each; without the second the shop's own.
            subject: one line.
            content: text, or HTML when it begins with "<".
            key: the caller's, at most 255 characters.

        Returns:
            ``{"status code": "202", "message_id"}``

        Raises:
            InvalidRequest: a part of it cannot be mailed.
            Refused: SendGrid will not have it.
            Unavailable, ProviderFailure, OutcomeUnknown: not sent, or perhaps; repeating is safe.
        """
        return self._mail(mail(key, to_email, from_email or self.config["MAIL_FROM"], subject, content))

    @rpc(expected_exceptions=ShopError, once=True)
    def send_sms(self, number: str, content: str, key: str) -> dict[str, Any]:
        """Send a text message. The same key answers the same, and sends once.

        Args:
            number: in E.164, such as +15005550006.
            content: at most 1600 characters.
            key: the caller's, at most 255 characters.

        Returns:
            ``{"status code": "201", "sid", "status"}``

        Raises:
            InvalidRequest: the number is not in E.164, or the content is empty or too long.
            Refused: Twilio will not have it.
            Unavailable, ProviderFailure, OutcomeUnknown: not sent, or perhaps; repeating is safe.
        """
        return Delivery(self.store, bounded).sms(sms(key, number, content), self.texter)

    @rpc(expected_exceptions=ShopError)
    def order_paid_email(self, order: dict[str, Any], label: dict[str, Any] | None, key: str) -> dict[str, Any]:
        """Mail a customer that the order is paid: its lines, totals, address, label and tracking.

        Args:
            order: the public order object.
            label: ``{"label_url", "carrier", "tracking_number"}``, or None while there is none.
            key: as for `send_email`, which see for the answer and the errors.
        """
        text, html = letter("order_paid", {**order_paid(order, label), "shop": self.config["SHIP_FROM_NAME"]})
        checked = mail(key, recipient(order, "email"), self.config["MAIL_FROM"], order_paid_subject(order), html)
        return self._mail(Mail(checked.key, checked.to, checked.sender, checked.subject, text, html))

    @rpc(expected_exceptions=ShopError)
    def order_paid_sms(self, order: dict[str, Any], key: str) -> dict[str, Any]:
        """Text a customer that the order is paid.

        Args:
            order: the public order object; the number is its shipping's phone.
            key: as for `send_sms`, which see for the answer and the errors.
        """
        return self.send_sms(recipient(order, "phone"), order_paid_sms(order), key)

    @rpc(expected_exceptions=ShopError)
    def audit(
        self,
        part: str,
        cursor: str | None = None,
        since: float = 0.0,
        until: float = 9e12,
        ids: list[str] | None = None,
    ) -> dict[str, Any]:
        """One page of our text messages beside Twilio's; see `notifications.audit.MessageAudit.page`."""
        return MessageAudit(self.store, TwilioLists(self.texter)).page(part, cursor, since, until, ids)

    @rpc(expected_exceptions=ShopError)
    def mend(self, fix: dict[str, Any]) -> str:
        """Do what a difference that `audit` found proposed; see `notifications.audit.MessageAudit.mend`."""
        return MessageAudit(self.store, TwilioLists(self.texter)).mend(fix)

    @rpc(expected_exceptions=ShopError)
    def health(self) -> dict[str, str]:
        """Whether the service can work: ``{"status", "database"}``. Raises Unavailable when not."""
        self.store.ping()
        return {"status": "ok", "database": "ok"}

    def _mail(self, checked: Mail) -> dict[str, Any]:
        return Delivery(self.store, bounded).mail(checked, self.mailer)

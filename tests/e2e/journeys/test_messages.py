"""Mails and text messages that do not arrive, and recipients that want no more of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from twilio.request_validator import RequestValidator

from chassis.settings import SANDBOX_TWILIO_TOKEN
from launcher.shop import Shop
from tests.e2e.journeys.operated import Operated
from tests.e2e.journeys.shop import REQUEST_TIMEOUT_S, Shopper, Storefront, eventually, unique

pytestmark = pytest.mark.timeout(600)

SENDER = "shop@example.com"
OPTED_OUT = {"status code": "not sent", "reason": "The number has opted out of text messages."}


class Desk(Operated):
    """A shop, its operator, and what becomes of messages to a recipient."""

    def __init__(self, running: Shop) -> None:
        super().__init__(running)
        self.front = Storefront(running.url, running.sandbox_url)
        self.product = self.front.product(inventory={"type": "finite", "quantity": 100})["id"]
        self.marked: list[str] = []

    def mark(self, recipient: str, outcome: str, **more: Any) -> None:
        """Decide what becomes of messages to a recipient."""
        self.marked.append(recipient)
        self.sandbox("PUT", f"recipients/{recipient}", {"outcome": outcome, **more})

    def forget(self, recipient: str) -> None:
        self.sandbox("DELETE", f"recipients/{recipient}")

    def texts(self, number: str, body: str) -> None:
        """Text the shop, as a shopper does."""
        self.sandbox("POST", "sms", {"from": number, "body": body})

    def sandbox(self, method: str, path: str, body: Any = None) -> None:
        url = f"{self.front.sandbox_url}/sandbox/{path}"
        requests.request(method, url, json=body, timeout=REQUEST_TIMEOUT_S).raise_for_status()

    def paid(self, shopper: Shopper, **changes: Any) -> dict[str, Any]:
        assert shopper.buy(self.product, 1).status_code == 200
        placed = shopper.checkout(**changes)
        assert placed.status_code == 201, placed.text
        answer = shopper.pay(placed.json())
        assert answer.status_code == 200, answer.text
        order: dict[str, Any] = answer.json()
        return order

    def message(self, shopper: Shopper, order: dict[str, Any], kind: str) -> dict[str, str]:
        """What the order shows of its mail or text."""
        shown: dict[str, str] = shopper.ask("GET", f"/api/orders/{order['id']}").json()["notifications"][kind]
        return shown

    def ends(self, shopper: Shopper, order: dict[str, Any], kind: str) -> dict[str, str]:
        """As `message`, once the provider has reported what became of it."""
        return eventually(lambda: "status" in (shown := self.message(shopper, order, kind)) and shown)  # type: ignore[no-any-return]

    def needs(self, order: dict[str, Any]) -> list[tuple[str, str, str]]:
        """Why the order is on the operator's list."""
        listed = self.call("cart", "attention", 1000)
        return [(row["kind"], row["about"], row["detail"]) for row in listed if row["order_id"] == order["id"]]

    def unwanted(self, recipient: str) -> str | None:
        """Why a recipient gets no more messages."""
        found = [
            row["reason"] for row in self.call("notifications", "suppressed", 1000) if row["recipient"] == recipient
        ]
        return found[0] if found else None


@pytest.fixture
def desk(own: Shop) -> Iterator[Desk]:
    desk = Desk(own)
    yield desk
    for recipient in desk.marked:
        desk.forget(recipient)


@pytest.fixture
def shopper(desk: Desk) -> Shopper:
    return desk.front.shopper()


def test_undelivered_text_is_shown_and_listed(desk: Desk, shopper: Shopper) -> None:
    desk.mark(shopper.phone, "undelivered", error_code=30005)
    order = desk.paid(shopper)
    error = "Twilio error 30005"
    assert desk.ends(shopper, order, "sms") == {"status code": "201", "status": "failed", "error": error}
    detail = f"The text message was not delivered (failed): {error}"
    assert desk.needs(order) == [("message", f"{order['id']}:sms", detail)]
    assert desk.ends(shopper, order, "email") == {"status code": "202", "status": "delivered"}


def test_bounced_mail_is_shown_and_listed(desk: Desk, shopper: Shopper) -> None:
    desk.mark(shopper.email, "bounce")
    order = desk.paid(shopper)
    shown = desk.ends(shopper, order, "email")
    assert (shown["status code"], shown["status"], shown["error"][:9]) == ("202", "bounced", "550 5.1.1")
    assert [need[:2] for need in desk.needs(order)] == [("message", f"{order['id']}:email")]
    second = desk.paid(shopper)  # SendGrid tries the address no more
    shown = desk.ends(shopper, second, "email")
    assert shown == {"status code": "202", "status": "failed", "error": "Bounced Address"}
    assert [need[:2] for need in desk.needs(second)] == [("message", f"{second['id']}:email")]
    page = shopper.ask("GET", order["status_url"].removeprefix(desk.front.url)).text
    assert "could not be delivered" in page


def test_number_that_sent_stop_is_not_texted(desk: Desk, shopper: Shopper) -> None:
    desk.marked.append(shopper.phone)
    first = desk.paid(shopper)
    assert desk.ends(shopper, first, "sms")["status"] == "delivered"
    desk.texts(shopper.phone, " stop")
    eventually(lambda: desk.unwanted(shopper.phone) == "opted out")
    second = desk.paid(shopper)
    assert second["notifications"]["sms"] == OPTED_OUT
    assert desk.needs(second) == []
    refused = desk.front.ask("POST", "/api/notifications/sms/", json={"number": shopper.phone, "content": "Hello"})
    assert (refused.status_code, list(refused.json()["errors"])) == (422, ["number"])
    assert len(desk.front.arrived("sms", to=shopper.phone)) == 1
    desk.texts(shopper.phone, "START")
    eventually(lambda: desk.unwanted(shopper.phone) is None)
    assert desk.paid(shopper)["notifications"]["sms"] == {"status code": "201"}


def test_reply_is_answered_with_empty_twiml(desk: Desk, shopper: Shopper) -> None:
    form = {"MessageSid": f"SM{unique('')}", "SmsStatus": "received", "From": shopper.phone, "Body": "When?"}
    url = f"{desk.front.url}/api/webhooks/twilio/"
    proof = RequestValidator(SANDBOX_TWILIO_TOKEN).compute_signature(url, form)
    headers = {"X-Twilio-Signature": proof, "Content-Type": "application/x-www-form-urlencoded"}
    for _ in range(2):
        answer = desk.front.ask("POST", "/api/webhooks/twilio/", data=urlencode(form), headers=headers)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/xml")
        assert answer.text == "<Response/>"


def test_mailbox_that_marks_as_spam_gets_receipts_only(desk: Desk, shopper: Shopper) -> None:
    desk.mark(shopper.email, "spamreport")
    first = desk.paid(shopper)
    assert desk.ends(shopper, first, "email")["status"] == "delivered"
    eventually(lambda: desk.unwanted(shopper.email) == "marked as spam")
    mail = {"to_email": shopper.email.upper(), "subject": "Thank you", "content": "Was it good?"}
    refused = desk.front.ask("POST", "/api/notifications/email/", json=mail)
    assert refused.status_code == 422
    assert refused.json()["detail"] == "This mailbox has marked the shop's mail as spam; it gets receipts only."
    assert len(desk.front.arrived("emails", to=shopper.email)) == 1
    assert desk.front.ask("POST", "/api/notifications/email/", json={**mail, "receipt": True}).status_code == 202
    second = desk.paid(shopper)
    assert desk.ends(shopper, second, "email") == {"status code": "202", "status": "delivered"}
    assert desk.needs(first) == desk.needs(second) == []


@pytest.mark.parametrize(("number", "code"), [("+15005550001", "Invalid 'To'"), ("+15005550003", "Permission")])
def test_permanently_refused_text_is_final_at_once(desk: Desk, shopper: Shopper, number: str, code: str) -> None:
    order = desk.paid(shopper, phone=number)
    assert order["notifications"]["sms"] == {"status code": "failed"}
    [(kind, about, detail)] = desk.needs(order)
    assert (kind, about) == ("sms", f"{order['id']}:sms")
    assert code in detail
    assert number not in detail


def test_refused_opt_out_is_final_and_remembered(desk: Desk, shopper: Shopper) -> None:
    number = "+15005550004"  # Twilio refuses it with 21610
    order = desk.paid(shopper, phone=number)
    assert order["notifications"]["sms"] == OPTED_OUT
    assert desk.needs(order) == []
    assert desk.unwanted(number) == "opted out"
    assert desk.call("notifications", "unsuppress", number) == {"wanted": True}
    assert desk.unwanted(number) is None


def test_unverified_sender_is_the_shops_own_fault(desk: Desk, shopper: Shopper) -> None:
    desk.mark(SENDER, "unverified")
    order = desk.paid(shopper)
    assert order["notifications"]["email"] == {"status code": "queued"}
    [(kind, about, detail)] = desk.needs(order)
    assert (kind, about) == ("message", f"{order['id']}:email")
    assert "refuses the shop, not the mail" in detail
    assert "verified Sender Identity" in detail
    mail = {"to_email": shopper.email, "subject": "Hello", "content": "Hello"}
    assert desk.front.ask("POST", "/api/notifications/email/", json=mail).status_code == 502
    desk.forget(SENDER)
    assert desk.ends(shopper, order, "email") == {"status code": "202", "status": "delivered"}
    assert desk.needs(order) == []


def test_message_is_sent_again_to_another_address(desk: Desk, shopper: Shopper) -> None:
    desk.mark(shopper.email, "bounce")
    order = desk.paid(shopper)
    eventually(lambda: desk.needs(order))
    better, key = f"{unique('better')}@example.com", unique("key")
    for _ in range(2):
        sent = desk.call("cart", "send_again", order["id"], "email", better, key)
    assert sent["status code"] == "202"
    assert sent["key"].startswith(f"{order['id']}:email:")
    [mail] = desk.front.arrived("emails", to=better)
    assert order["id"] in mail["subject"]
    assert desk.ends(shopper, order, "email") == {"status code": "202", "status": "delivered"}
    assert desk.needs(order) == []
    assert shopper.ask("GET", f"/api/orders/{order['id']}").json()["email"] == better
    assert len(desk.front.arrived("emails", to=shopper.email)) == 1


def test_refused_text_is_sent_again_to_another_number(desk: Desk, shopper: Shopper) -> None:
    order = desk.paid(shopper, phone="+15005550001")
    assert len(desk.needs(order)) == 1
    assert desk.call("cart", "send_again", order["id"], "sms", shopper.phone)["status code"] == "201"
    assert desk.ends(shopper, order, "sms") == {"status code": "201", "status": "delivered"}
    assert desk.needs(order) == []
    assert len(desk.front.arrived("sms", to=shopper.phone)) == 1


def test_lost_messages_are_no_difference_in_the_books(desk: Desk, shopper: Shopper) -> None:
    desk.mark(shopper.phone, "undelivered")
    order = desk.paid(shopper)
    eventually(lambda: desk.needs(order))
    desk.forget(shopper.phone)
    desk.call("cart", "send_again", order["id"], "sms")
    desk.texts(shopper.phone, "STOP")
    eventually(lambda: desk.unwanted(shopper.phone))
    desk.paid(shopper)
    desk.paid(shopper, phone="+15005550003")
    assert desk.agrees()
    desk.forget(shopper.phone)

"""What became of an order's messages is shown, an operator hears of it, and a message can be sent again."""

from __future__ import annotations

from typing import Any

import pytest

from cart.deliveries.messages import Again, MessageNews
from cart.rules.attention import DISPUTE, MESSAGE
from cart.rules.dispute import Case
from cart.rules.order import FULFILLED, RETURNED
from cart.store.attention import NOTICE, replayable
from chassis.work.tasks import FAILED
from contracts.errors import Conflict, InvalidRequest, NotFound, OutcomeUnknown, ProviderFailure, Refused, Unavailable
from tests.integration.cart.till import Shop

MAIL, TEXT = "or_1:email", "or_1:sms"


class News:
    """The feed of the notifications service."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def add(self, key: str, status: str, error: str | None = None, unwanted: bool = False) -> None:
        entry = {"key": key, "status": status, "error": error, "unwanted": unwanted, "at": 5.0}
        self.entries.append({"seq": len(self.entries) + 1, **entry})

    def news(self, after: int, limit: int) -> list[dict[str, Any]]:
        return self.entries[after : after + limit]


class Desk:
    """A shop with a paid order, whose messages were sent, and their news."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.news = News()
        self.again = Again(shop.store)
        shop.pay()
        shop.deliver()

    def reports(self, key: str, status: str, error: str | None = None, unwanted: bool = False) -> None:
        """The provider reports what became of a message."""
        self.news.add(key, status, error, unwanted)
        MessageNews(self.shop.store, self.news, self.shop.clock).follow()

    def send_again(self, kind: str = "email", to: str | None = None, key: str | None = None) -> str:
        self.shop.now += 1
        delivery = self.again.owe("or_1", kind, to, key)
        self.shop.deliver()
        return delivery

    @property
    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.shop.outbox.outcome("or_1")["notifications"]
        return shown

    @property
    def listed(self) -> list[tuple[str, str]]:
        rows = self.shop.store.attention.list(10)
        return sorted((row["kind"], row["about"]) for row in rows if row["kind"] != NOTICE)


@pytest.fixture
def desk(shop: Shop) -> Desk:
    return Desk(shop)


def test_lost_message_is_shown_and_listed_once(desk: Desk) -> None:
    desk.reports(TEXT, "failed", "Twilio error 30003")
    desk.reports(MAIL, "bounced", "550 no such mailbox")
    assert desk.shown == {
        "email": {"status code": "202", "status": "bounced", "error": "550 no such mailbox"},
        "sms": {"status code": "201", "status": "failed", "error": "Twilio error 30003"},
    }
    assert desk.listed == [(MESSAGE, MAIL), (MESSAGE, TEXT)]
    MessageNews(desk.shop.store, desk.news).follow()
    desk.shop.deliver()
    assert len(desk.shop.postman.letters) == 2


def test_delivered_message_needs_nobody(desk: Desk) -> None:
    desk.reports(MAIL, "sent", "450 try later")
    assert (desk.shown["email"]["status"], desk.listed) == ("sent", [])
    desk.reports(MAIL, "delivered")
    assert desk.shown["email"] == {"status code": "202", "status": "delivered"}
    assert desk.listed == []
    desk.reports(MAIL, "bounced")  # as some mailboxes do
    assert desk.listed == [(MESSAGE, MAIL)]


def test_message_to_an_opted_out_number_needs_nobody(desk: Desk) -> None:
    desk.reports(TEXT, "failed", "Twilio error 21610", unwanted=True)
    assert (desk.shown["sms"]["status"], desk.listed) == ("failed", [])


def test_news_of_other_messages_are_left_out(desk: Desk) -> None:
    desk.reports("an admin's", "bounced")
    desk.reports("or_1:label", "failed")
    assert desk.listed == []
    assert desk.shop.store.positions.get("messages") == 2


def test_reason_is_shown_and_mailed_without_addresses(desk: Desk) -> None:
    desk.reports(MAIL, "bounced", "550 <chloe@example.com>: unknown; call +14155550123")
    assert desk.shown["email"]["error"] == "550 <…@example.com>: unknown; call …0123"
    desk.shop.deliver()
    [(_, _, text)] = desk.shop.postman.letters.values()
    assert "chloe@" not in text


def test_news_is_applied_once_by_parallel_copies(desk: Desk) -> None:
    desk.news.add(MAIL, "bounced")
    entries = desk.news.news(0, 10)
    first, second = (MessageNews(desk.shop.store, desk.news) for _ in range(2))
    assert first.record(0, entries)
    desk.shop.store.attention.dismiss("or_1", MESSAGE, MAIL)
    assert not second.record(0, entries)
    assert desk.listed == []


# Sending again


def test_message_is_sent_again_to_the_same_recipient(desk: Desk) -> None:
    desk.reports(MAIL, "bounced")
    delivery = desk.send_again()
    assert list(desk.shop.postman.mails) == [MAIL, delivery]
    assert desk.shop.postman.mails[delivery][0]["email"] == desk.shop.order.customer.email
    assert desk.shown["email"] == {"status code": "202"}
    assert desk.listed == [(MESSAGE, MAIL)]
    desk.reports(delivery, "delivered")
    assert (desk.shown["email"]["status"], desk.listed) == ("delivered", [])


@pytest.mark.parametrize(("kind", "to"), [("email", "new@example.com"), ("sms", "+14155550199")])
def test_another_recipient_becomes_the_orders(desk: Desk, kind: str, to: str) -> None:
    before = desk.shop.order.customer
    delivery = desk.send_again(kind, to)
    after = desk.shop.order.customer
    sent = desk.shop.postman.mails[delivery][0] if kind == "email" else desk.shop.postman.texts[delivery]
    assert (sent["email"], sent["shipping"]["phone"]) == (after.email, after.phone)
    assert to in (after.email, after.phone)
    assert (after.name, after.address) == (before.name, before.address)


def test_same_key_sends_again_once(desk: Desk) -> None:
    first = desk.send_again("email", "new@example.com", "k1")
    assert desk.send_again("email", "new@example.com", "k1") == first
    assert desk.send_again("email", None, "k1") == first
    assert len(desk.shop.postman.mails) == 2
    with pytest.raises(Conflict):
        desk.send_again("email", "other@example.com", "k1")
    assert desk.send_again("email", None, "k2") != first
    assert desk.send_again() != desk.send_again()


def test_message_that_is_being_sent_is_not_sent_again(shop: Shop) -> None:
    shop.pay()
    with pytest.raises(Conflict, match="still being sent"):
        Again(shop.store).owe("or_1", "email", "new@example.com", None)
    assert shop.order.customer.email != "new@example.com"


def test_unpaid_order_has_no_message_to_send(shop: Shop) -> None:
    with pytest.raises(Conflict, match="not paid"):
        Again(shop.store).owe("or_1", "email", None, None)
    with pytest.raises(NotFound):
        Again(shop.store).owe("or_2", "email", None, None)


@pytest.mark.parametrize(
    ("kind", "to", "field"),
    [
        ("label", None, "kind"),
        ("email", "nobody", "to"),
        ("email", "+14155550199", "to"),
        ("sms", "new@example.com", "to"),
        ("sms", "+4930123456", "to"),
    ],
)
def test_wrong_recipient_is_refused_with_its_field(desk: Desk, kind: str, to: str | None, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Again(desk.shop.store, ["US"]).owe("or_1", kind, to, None)
    assert list(refused.value.facts["errors"]) == [field]


def test_late_news_of_the_first_message_needs_nobody(desk: Desk) -> None:
    delivery = desk.send_again("email", "new@example.com")
    desk.reports(delivery, "delivered")
    desk.reports(MAIL, "bounced")
    assert (desk.shown["email"]["status"], desk.listed) == ("delivered", [])


def test_message_lost_again_is_listed_once(desk: Desk) -> None:
    desk.reports(MAIL, "bounced")
    delivery = desk.send_again()
    desk.reports(delivery, "bounced")
    assert desk.listed == [(MESSAGE, delivery)]


def test_refused_message_leaves_the_list_once_another_arrives(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_order: Any, _key: str) -> Any:
        raise Refused("no such number", {"permanent": True})

    with monkeypatch.context() as patch:
        patch.setattr(shop.postman, "order_paid_sms", refuse)
        desk = Desk(shop)
    assert desk.listed == [("sms", TEXT)]
    delivery = desk.send_again("sms", "+14155550199")
    assert desk.listed == [("sms", TEXT)]
    desk.reports(delivery, "delivered")
    assert desk.listed == []


def test_replayed_message_goes_to_its_first_recipient(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_order: Any, _key: str) -> Any:
        raise Refused("no such number", {"permanent": True})

    first = shop.order.customer.phone
    with monkeypatch.context() as patch:
        patch.setattr(shop.postman, "order_paid_sms", refuse)
        desk = Desk(shop)
    desk.send_again("sms", "+14155550199")
    shop.store.deliveries.again(TEXT)
    shop.deliver()
    assert shop.postman.texts[TEXT]["shipping"]["phone"] == first


def test_message_killed_before_it_is_sent_goes_out_once(desk: Desk) -> None:
    delivery = desk.again.owe("or_1", "email", "new@example.com", "k1")  # the process ends here
    desk.shop.dies()
    desk.shop.deliver()
    assert desk.send_again("email", "new@example.com", "k1") == delivery
    assert list(desk.shop.postman.mails) == [MAIL, delivery]


# A provider that refuses the shop


def test_refusal_of_the_shop_itself_is_listed_until_it_ends(shop: Shop) -> None:
    shop.postman.failing = ProviderFailure("the sender is not verified", {"ours": True})
    desk = Desk(shop)
    for _ in range(3):
        shop.now += 600
        shop.deliver()
    assert [row["tries"] for row in shop.store.deliveries.of("or_1", ["email"])] == [0]
    assert desk.listed == [(MESSAGE, MAIL), (MESSAGE, TEXT)]
    shop.postman.failing = None
    shop.now += 600
    shop.deliver()
    assert (desk.shown["email"], desk.listed) == ({"status code": "202"}, [])


def test_other_failure_of_the_provider_is_not_listed(shop: Shop) -> None:
    shop.postman.failing = ProviderFailure("nonsense")
    assert Desk(shop).listed == []


def test_message_given_up_is_listed_once(shop: Shop) -> None:
    shop.postman.failing = ProviderFailure("the sender is not verified", {"ours": True})
    desk = Desk(shop)
    while not shop.store.deliveries.rows(state=FAILED):
        shop.now += 20_000
        shop.deliver()
    for _ in range(9):
        shop.now += 600
        shop.deliver()
    assert desk.listed == [(MESSAGE, MAIL), (MESSAGE, TEXT)]


def test_message_given_up_that_arrived_after_all_needs_nobody(shop: Shop) -> None:
    shop.postman.failing = OutcomeUnknown("no answer")
    desk = Desk(shop)
    while len(shop.store.deliveries.rows(state=FAILED)) < 2:
        shop.now += 20_000
        shop.deliver()
    assert desk.listed == [("email", MAIL), ("sms", TEXT)]
    desk.reports(MAIL, "delivered")
    assert desk.listed == [("sms", TEXT)]


# Returned orders


def test_lost_message_of_a_returned_order_needs_nobody(desk: Desk) -> None:
    desk.reports(MAIL, "bounced")
    assert desk.listed == [(MESSAGE, MAIL)]
    desk.shop.refunds.refund("or_1", None, "k1")
    assert desk.listed == []
    desk.reports(TEXT, "failed", "Twilio error 30003")
    assert (desk.shown["sms"]["status"], desk.listed) == ("failed", [])


def test_refused_message_of_a_returned_order_needs_nobody(shop: Shop) -> None:
    shop.postman.failing = Refused("no such number", {"permanent": True})
    desk = Desk(shop)
    assert desk.listed == [("email", MAIL), ("sms", TEXT)]
    shop.refunds.refund("or_1", None, "k1")
    assert desk.listed == []
    assert shop.store.deliveries.again(only=[replayable()]) == []


def test_refusal_of_the_shop_lists_no_returned_order(shop: Shop) -> None:
    shop.postman.failing = Unavailable("away")
    desk = Desk(shop)
    shop.refunds.refund("or_1", None, "k1")
    shop.postman.failing = ProviderFailure("the sender is not verified", {"ours": True})
    shop.now += 600
    shop.deliver()
    assert "not verified" in shop.store.deliveries.of("or_1", ["email"])[0]["error"]
    assert desk.listed == []


def test_lost_message_of_a_sent_and_lost_order_needs_nobody(desk: Desk) -> None:
    desk.reports(MAIL, "bounced")
    desk.shop.store.orders.update("or_1", None, lambda order: order.become(FULFILLED, 1001))
    order = desk.shop.order
    desk.shop.provider.set(Case("du_1", DISPUTE, order.payment or "", "lost", "fraudulent", order.amount, 900))
    assert desk.shop.disputes.refresh(order.payment or "")
    assert (desk.shop.order.status, desk.listed) == (RETURNED, [])


def test_message_of_a_returned_order_is_not_sent_again(desk: Desk) -> None:
    first = desk.send_again(key="k1")
    desk.shop.refunds.refund("or_1", None, "k1")
    with pytest.raises(Conflict, match="given back"):
        desk.again.owe("or_1", "email", "new@example.com", "k2")
    assert desk.shop.order.customer.email != "new@example.com"
    assert desk.again.owe("or_1", "email", None, "k1") == first, "a repeated call gets its answer"

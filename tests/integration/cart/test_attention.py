"""An order that needs a person is on the operator's list, and mailed to the operator once."""

from __future__ import annotations

from contextlib import suppress

from cart.deliveries.messages import Again
from cart.rules.attention import DISPUTE
from cart.store.attention import NOTICE, replayable
from chassis.work.tasks import FAILED, WAITING
from contracts.errors import Refused, Unavailable
from tests.integration.cart.till import OPERATOR, Shop


def opened(shop: Shop, detail: str = "fraudulent") -> None:
    with shop.store.write():
        shop.store.attention.open("or_1", DISPUTE, "du_1", detail)


def listed(shop: Shop) -> list[tuple[str, str, str]]:
    return [(row["kind"], row["about"], row["detail"]) for row in shop.store.attention.list(10)]


def test_entry_is_listed_and_mailed_once(shop: Shop) -> None:
    opened(shop)
    opened(shop, "needs evidence")
    shop.deliver()
    shop.deliver()
    assert listed(shop) == [(DISPUTE, "du_1", "needs evidence")]
    [(to, subject, text)] = shop.postman.letters.values()
    assert (to, subject) == (OPERATOR, "The charge is disputed: order or_1")
    assert "fraudulent" in text
    assert "./install_run_project failed" in text


def test_closed_entry_that_opens_again_is_mailed_again(shop: Shop) -> None:
    opened(shop)
    assert shop.store.attention.close("or_1", DISPUTE, "du_1")
    assert listed(shop) == []
    assert not shop.store.attention.close("or_1", DISPUTE, "du_1")
    opened(shop)
    shop.deliver()
    assert len(shop.postman.letters) == 2


def test_entry_rolls_back_with_its_transaction(shop: Shop) -> None:
    with suppress(RuntimeError), shop.store.write():
        shop.store.attention.open("or_1", DISPUTE, "du_1", "")
        raise RuntimeError
    assert listed(shop) == []
    assert shop.store.deliveries.of("or_1", [NOTICE]) == []


def test_notice_waits_for_the_mail_provider(shop: Shop) -> None:
    opened(shop)
    shop.postman.failing = Unavailable("no answer")
    shop.deliver()
    assert shop.store.deliveries.of("or_1", [NOTICE])[0]["state"] == WAITING
    shop.postman.failing = None
    shop.now += 3600
    shop.deliver()
    assert len(shop.postman.letters) == 1


def test_shop_without_an_operator_only_lists(shop: Shop) -> None:
    shop.outbox._operator = ""
    opened(shop)
    shop.deliver()
    assert (len(listed(shop)), shop.postman.letters) == (1, {})


def test_given_up_delivery_is_listed_until_dismissed(shop: Shop) -> None:
    shop.pay()
    shop.carrier.failing = Refused("no such rate", {"permanent": True})
    shop.deliver()
    shop.now += 60
    opened(shop)
    assert [entry[:2] for entry in listed(shop)] == [("label", "or_1:label"), (DISPUTE, "du_1")]
    assert "no such rate" in listed(shop)[0][2]
    attention = shop.store.attention
    assert not attention.dismiss("or_2", "label", "or_1:label")
    assert attention.dismiss("or_1", "label", "or_1:label")
    assert not attention.dismiss("or_1", "label", "or_1:label")
    assert attention.dismiss("or_1", DISPUTE, "du_1")
    assert listed(shop) == []


def test_replaying_all_leaves_out_what_nobody_wants(shop: Shop) -> None:
    shop.pay()
    shop.carrier.failing = shop.postman.failing = Refused("no", {"permanent": True})
    shop.deliver()
    shop.deliver()
    keys = ["or_1:email", "or_1:label", "or_1:sms"]
    assert sorted(row["key"] for row in shop.store.deliveries.rows(state=FAILED)) == keys
    shop.now += 1
    again = Again(shop.store).owe("or_1", "email", "new@example.com", None)
    assert shop.store.attention.dismiss("or_1", "label", "or_1:label")
    assert shop.store.deliveries.again(only=[replayable()]) == ["or_1:sms"]
    shop.deliver()
    assert sorted(shop.store.deliveries.again(kind="email", only=[replayable()])) == [again]


def test_delivery_that_is_given_up_again_is_listed_again(shop: Shop) -> None:
    shop.pay()
    shop.carrier.failing = Refused("no such rate", {"permanent": True})
    shop.deliver()
    for _ in range(2):
        assert shop.store.attention.dismiss("or_1", "label", "or_1:label")
        assert listed(shop) == []
        shop.now += 1
        assert shop.store.deliveries.again("or_1:label") == ["or_1:label"]
        assert listed(shop) == []
        shop.deliver()
        assert [entry[:2] for entry in listed(shop)] == [("label", "or_1:label")]

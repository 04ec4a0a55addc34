"""What the shop collects against a dispute, in the provider's shape."""

from __future__ import annotations

import pytest

from cart.deliveries.messages import Again
from cart.disputes.evidence import DisputeEvidence
from cart.rules.evidence import Facts
from contracts.errors import NotFound
from tests.integration.cart.disputed import CHARGEBACK, disputed
from tests.integration.cart.till import Shop


def test_evidence_is_collected_and_nothing_is_sent(shop: Shop) -> None:
    disputed(shop, CHARGEBACK)
    evidence = DisputeEvidence(shop.store, shop.provider, shop.carrier)
    with pytest.raises(NotFound):
        evidence.collect("or_2")
    [found] = evidence.collect("or_1")
    assert (found["id"], found["status"], found["submit"]) == ("du_1", "needs_response", "send du_1")
    assert found["evidence"] == {"customer_name": shop.order.customer.name}


def facts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Facts:
    """What the provider gets to make evidence of."""
    given: list[Facts] = []
    respond = shop.provider.response
    monkeypatch.setattr(shop.provider, "response", lambda case, facts: given.append(facts) or respond(case, facts))
    DisputeEvidence(shop.store, shop.provider, shop.carrier).collect("or_1")
    return given[0]


def test_evidence_names_the_last_messages_that_arrived(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    disputed(shop, CHARGEBACK)
    assert (facts(shop, monkeypatch).mail or {})["to"] == "shopper@example.com"
    again = Again(shop.store)
    keys = []
    for to in ("work@example.com", "bounces@example.com"):
        shop.now += 1
        keys.append(again.owe("or_1", "email", to, None))
        shop.deliver()
    shop.store.messages.record(keys[1], "bounced", "no such mailbox", shop.now)
    found = facts(shop, monkeypatch)
    assert found.mail == {"status code": "202", "message_id": "m2", "to": "work@example.com"}
    assert (found.text or {})["to"] == "+15005550010"
    for key in ("or_1:email", keys[0]):
        shop.store.messages.record(key, "failed", None, shop.now)
    assert facts(shop, monkeypatch).mail is None


def test_evidence_of_an_undisputed_order_is_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound, match="not disputed"):
        DisputeEvidence(shop.store, shop.provider, shop.carrier).collect("or_1")

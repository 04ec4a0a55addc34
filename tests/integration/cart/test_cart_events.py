"""Stripe's events: only events with Stripe's signature are kept. Each makes the shop ask Stripe for the state."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import stripe

from cart.provider_news import ProviderNews
from cart.stripe.webhooks import HANDLED, TOLERANCE, StripeWebhooks
from chassis.db.engine import Database
from chassis.work.inbox import Inbox
from chassis.work.webhooks import Webhooks
from contracts.errors import InvalidRequest, Unavailable
from tests.databases import migrated

ORDER = SimpleNamespace(id="or_1")
SECRET = f"whsec_{secrets.token_hex(16)}"


class Bench:
    """The event handler, with stubs that record its calls."""

    def __init__(self, database: Database) -> None:
        self.inbox = Inbox(database)
        self.orders: dict[str, Any] = {}
        self.calls: list[tuple[str, str]] = []
        payment = SimpleNamespace(look_now=self._called("look"), report_stray=self._stray)
        refunds = SimpleNamespace(refresh_refunds=self._called("refunded"))
        disputes = SimpleNamespace(refresh=self._called("disputed"))
        products = SimpleNamespace(refresh=self._called("refresh"))
        codes = SimpleNamespace(refresh=self._called("read code"), refresh_terms=self._called("read codes of"))
        news = ProviderNews(payment, refunds, disputes, products, codes)  # type: ignore[arg-type]
        self.source = StripeWebhooks(SECRET, news)
        self.webhooks = Webhooks(self.inbox, {"stripe": self.source})

    def _called(self, name: str) -> Any:
        def call(subject: Any) -> bool:
            self.calls.append((name, subject))
            return subject in self.orders

        return call

    def _stray(self, payment_id: str, order_id: str) -> None:
        self.calls.append((f"stray of {order_id}", payment_id))

    def handle(self, kind: str, **subject: Any) -> list[tuple[str, str]]:
        """Handle an event; return the calls that it made."""
        self.calls.clear()
        self.webhooks.handle(kind, event(kind, **subject))
        return list(self.calls)

    def keep(self, raw: str, signature: str) -> bool:
        """Receive an event; return whether it is new."""
        answer = self.webhooks.accept("stripe", raw, {"Stripe-Signature": signature})
        assert answer["received"]
        return not answer["duplicate"]


@pytest.fixture
def bench() -> Iterator[Bench]:
    database = Database("sqlite://", "cart")
    migrated(database)
    yield Bench(database)
    database.dispose()


def event(kind: str = "payment_intent.succeeded", event_id: str = "evt_1", **subject: Any) -> dict[str, Any]:
    subject = {"id": "pi_1", "object": "payment_intent", **subject}
    return {
        "id": event_id,
        "object": "event",
        "type": kind,
        "created": 1,
        "livemode": False,
        "data": {"object": subject},
    }


def signed(body: dict[str, Any] | str, secret: str = SECRET, at: float | None = None) -> tuple[str, str]:
    """The body as the gateway passes it on, and its signature."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    header = stripe.WebhookSignature.generate_signature_header(text, secret, int(time.time() if at is None else at))
    return text.encode().decode("latin-1"), header


def test_event_is_kept_once_with_its_whole_body(bench: Bench) -> None:
    body = event(name="Zoë 😀")
    assert bench.keep(*signed(body))
    assert not bench.keep(*signed(body))
    kept = bench.inbox.tasks.rows(state="waiting")
    assert [(one["key"], one["kind"], one["details"]) for one in kept] == [("evt_1", "payment_intent.succeeded", body)]


def test_event_of_an_unhandled_kind_is_kept_as_done(bench: Bench) -> None:
    assert bench.keep(*signed(event("customer.created")))
    assert [one["kind"] for one in bench.inbox.tasks.rows(state="done")] == ["customer.created"]
    assert bench.inbox.tasks.rows(state="waiting") == []


def refused(bench: Bench, raw: str, signature: str, unsigned: bool = True) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        bench.keep(raw, signature)
    assert refusal.value.facts.get("unsigned", False) is unsigned
    assert bench.inbox.tasks.rows(state="waiting") == bench.inbox.tasks.rows(state="done") == []


def test_only_recently_signed_events_are_kept(bench: Bench) -> None:
    raw, signature = signed(event())
    moment, proof = signature.split(",")
    for bad in (
        "",
        "v1",
        moment,
        proof,
        f"{moment},v0{proof[2:]}",
        f"t=x,{proof}",
        f"t={int(time.time()) - 1},{proof}",
        f"{moment},v1={'0' * 64}",
        f"{moment},v1=\xff",
        "=,=,",
    ):
        refused(bench, raw, bad)
    refused(bench, raw.replace("pi_1", "pi_2"), signature)
    refused(bench, raw + " ", signature)
    refused(bench, raw, signed(event(), secret="another")[1])
    refused(bench, *signed(event(), at=time.time() - TOLERANCE - 5))
    assert bench.keep(*signed(event(), at=time.time() - TOLERANCE + 30))
    # While a secret is being replaced, Stripe signs with both.
    raw, signature = signed(event(event_id="evt_2"))
    assert bench.keep(raw, f"{signature},v1={'0' * 64}")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{}",
        "{not json",
        '{"object": "event"}',
        json.dumps({**event(), "object": "v2.core.event"}),
        json.dumps({**event(), "id": 5}),
        json.dumps({**event(), "id": ""}),
        json.dumps({**event(), "type": None}),
        json.dumps({**event(), "data": None}),
        json.dumps({**event(), "data": {"object": []}}),
        json.dumps(event(id=None)),
        json.dumps(event("price.updated", product={"id": "prod_1"})),
        json.dumps(event("charge.refunded")),
        json.dumps(event(note="\ud800")),
    ],
)
def test_signed_body_that_is_no_event_is_refused(bench: Bench, body: str) -> None:
    refused(bench, *signed(body), unsigned=False)


def test_invalid_utf8_is_refused(bench: Bench) -> None:
    refused(bench, "\xff\xfe", signed(event())[1])


def test_missing_secret_answers_unavailable(bench: Bench) -> None:
    bench.webhooks = Webhooks(bench.inbox, {"stripe": StripeWebhooks("", None)})  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        bench.keep(*signed(event(), secret="any"))
    assert bench.inbox.tasks.rows(state="waiting") == []


@pytest.mark.parametrize("kind", ["succeeded", "payment_failed", "canceled", "requires_action", "processing"])
def test_payment_event_looks_at_the_payment_of_its_order(bench: Bench, kind: str) -> None:
    bench.orders["pi_1"] = ORDER
    assert bench.handle(f"payment_intent.{kind}", amount=1, status="succeeded") == [("look", "pi_1")]


def test_payment_that_its_order_does_not_name_is_reported(bench: Bench) -> None:
    called = bench.handle("payment_intent.succeeded", metadata={"order_id": "or_1"}, status="succeeded")
    assert called == [("look", "pi_1"), ("stray of or_1", "pi_1")]


def test_events_of_other_systems_are_ignored(bench: Bench) -> None:
    assert bench.handle("payment_intent.succeeded", metadata={}) == [("look", "pi_1")]
    assert bench.handle("payment_intent.succeeded") == [("look", "pi_1")]
    assert bench.handle("charge.refunded", payment_intent="pi_9") == [("refunded", "pi_9")]
    assert bench.handle("charge.refunded", payment_intent=None) == []


def test_refund_and_product_events_are_looked_up_by_id(bench: Bench) -> None:
    bench.orders["pi_1"] = ORDER
    for kind in ("charge.refunded", "refund.created", "refund.updated", "refund.failed"):
        assert bench.handle(kind, id="x", payment_intent="pi_1", amount_refunded=1) == [("refunded", "pi_1")]
    for kind in ("product.created", "product.updated", "product.deleted"):
        assert bench.handle(kind, id="prod_1", product="prod_2") == [("refresh", "prod_1")]
    for kind in ("price.created", "price.updated", "price.deleted"):
        assert bench.handle(kind, id="price_1", product="prod_2") == [("refresh", "prod_2")]


@pytest.mark.parametrize("kind", ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"])
def test_dispute_event_looks_at_the_disputes_of_its_payment(bench: Bench, kind: str) -> None:
    called = bench.handle(f"charge.dispute.{kind}", id="du_1", payment_intent="pi_1", status="lost")
    assert called == [("disputed", "pi_1")]


@pytest.mark.parametrize("kind", ["created", "updated"])
def test_fraud_warning_looks_at_the_disputes_of_its_payment(bench: Bench, kind: str) -> None:
    called = bench.handle(f"radar.early_fraud_warning.{kind}", id="issfr_1", payment_intent="pi_1")
    assert called == [("disputed", "pi_1")]


def test_case_of_a_charge_without_a_payment_is_left_out(bench: Bench) -> None:
    for kind in ("charge.dispute.created", "radar.early_fraud_warning.created"):
        assert bench.handle(kind, id="du_1", payment_intent=None) == []


def test_discount_events_are_a_reason_to_read_the_codes(bench: Bench) -> None:
    for kind in ("promotion_code.created", "promotion_code.updated"):
        assert bench.handle(kind, id="promo_1") == [("read code", "promo_1")]
    for kind in ("coupon.updated", "coupon.deleted"):
        assert bench.handle(kind, id="coupon_1") == [("read codes of", "coupon_1")]


def test_every_waiting_kind_is_handled(bench: Bench) -> None:
    bench.orders["pi_1"] = ORDER
    for kind in HANDLED:
        assert bench.handle(kind, payment_intent="pi_1", product="prod_1"), kind

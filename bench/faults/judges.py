"""Whether what a shopper saw is true afterwards: one judge for each kind of answer.

A judge yields the errors in an answer, in words that follow "it answered 200, but".
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from bench.faults import journal as journals
from bench.faults.catalogue import Catalogue
from bench.faults.journal import Journal, Sight
from bench.faults.records import Records, Row

PAID = ("paid", "fulfilled", "returned")  # the sequence of an order's statuses: never backwards


PROCESSING = 202  # the answer while a bank settles a payment
TAX_KINDS = ("tax", "tax_reversal")
LOST = ("failed", "bounced")  # the progress of a message that did not arrive
# Stripe's states of a dispute that is not decided.
REFUND_DISPUTED = "charge_for_pending_refund_disputed"
OPEN = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")


@dataclass(frozen=True)
class Books:
    """All data for the comparison.

    Attributes:
        records: the records of the shop and the providers.
        journal: the answers that shoppers saw.
        catalogue: the initial stock.
        saves_failures: whether Stripe may have saved failures of requests that it has carried out.
    """

    records: Records
    journal: Journal
    catalogue: Catalogue
    saves_failures: bool = False

    @cached_property
    def paid(self) -> dict[str, Row]:
        """The orders whose money was taken, according to the shop."""
        return {key: order for key, order in self.records.orders.items() if order["status"] in PAID}

    @cached_property
    def lost(self) -> dict[str, int]:
        """Order -> what lost disputes have taken of it, in cents."""
        return self._sums(self.records.disputes, ("lost",))

    @cached_property
    def contested(self) -> set[str]:
        """The orders whose label may be held: with a dispute that no bank has decided, or with a fraud warning, and
        `lost_in_part`."""
        warned = {order_id for order_id, charge in self._charges() if charge in self.records.warnings}
        return warned | set(self._sums(self.records.disputes, OPEN)) | self.lost_in_part

    @cached_property
    def lost_in_part(self) -> set[str]:
        """The orders of which a dispute has taken a part before their label was bought. An operator decides whether the
        goods are sent."""
        held = {row["subject"] for row in self.records.owed if row["kind"] == "label" and row["state"] == "on_hold"}
        return held & {key for key, amount in self.lost.items() if amount < self.records.orders[key]["amount"]}

    @cached_property
    def failed_refunds(self) -> dict[str, int]:
        """Order -> what refunds that failed have not given back, in cents."""
        return self._sums(self.records.payouts, ("failed", "canceled"))

    @cached_property
    def left_to_disputes(self) -> dict[str, int]:
        """Order -> what refunds have not given back because of a dispute that gives it back, or may do so, in cents."""
        sums: Counter[str] = Counter()
        for order_id, charge in self._charges():
            disputes = self.records.disputes.get(charge, ())
            undecided = any(each["status"] in OPEN for each in disputes)
            lost = sum(each["amount"] for each in disputes if each["status"] == "lost")
            for payout in self.records.payouts.get(charge, ()):
                disputed = payout.get("failure_reason") == REFUND_DISPUTED
                if disputed and (undecided or lost >= payout["amount"]):
                    sums[order_id] += payout["amount"]
        return dict(sums)

    @cached_property
    def refunded(self) -> dict[str, int]:
        """Order -> what refunds have given back, in cents."""
        return self._sums(self.records.payouts, ("succeeded", "pending"))

    def _sums(self, found: dict[str, list[Row]], states: tuple[str, ...]) -> dict[str, int]:
        sums: Counter[str] = Counter()
        for order_id, charge in self._charges():
            for entry in found.get(charge, ()):
                if entry["status"] in states:
                    sums[order_id] += entry["amount"]
        return dict(sums)

    def _charges(self) -> Iterator[tuple[str, str]]:
        for order_id, charges in self.records.charges.items():
            yield from ((order_id, charge["id"]) for charge in charges if charge["paid"])

    @cached_property
    def begun_debits(self) -> set[str]:
        """The orders whose bank has accepted a debit, as their shopper saw; it may have failed since."""
        return {sight.asked["order_id"] for sight in self.journal.of(journals.PAY) if sight.status == PROCESSING}

    @cached_property
    def untraced(self) -> set[str]:
        """The orders with a tax transaction whose id nobody knows: Stripe has carried the request out, saved a failure
        as its answer, and has no list to find it in. An operator has to reverse it."""
        if not self.saves_failures:
            return set()
        done = [row for row in self.records.owed if row["kind"] in TAX_KINDS and row["state"] == "done"]
        return {row["subject"] for row in done if row["answer"] and row["answer"]["entry"] is None}

    @property
    def lost_messages(self) -> list[Row]:
        """The messages that were sent and did not arrive, as the shop knows."""
        return [message for message in self.records.messages.values() if message["progress"] in LOST]

    @property
    def afterwards(self) -> dict[str, int]:
        """What went wrong after a provider had said yes -> how often."""
        return {
            "disputes": sum(map(len, self.records.disputes.values())),
            "fraud warnings": sum(map(len, self.records.warnings.values())),
            "orders with failed refunds": len(self.failed_refunds),
            "bank debits": len(self.begun_debits),
            "of them failed": len(self.begun_debits - set(self.paid)),
            "messages that did not arrive": len(self.lost_messages),
            "entries on the operator's list": len(self.records.attention),
        }

    @cached_property
    def put_in(self) -> dict[str, Counter[str]]:
        """Cart -> how many of each SKU were added to it, as the shopper saw."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for sight in self.journal.of(journals.BUY, good=True):
            found[sight.cart_id][sight.asked["sku"]] += sight.asked["quality"]
        return found

    @cached_property
    def short(self) -> set[str]:
        """The SKUs that sell out: shoppers remove them from the cart when others were faster."""
        return {article.sku for article in self.catalogue.series}

    @cached_property
    def perhaps_put_in(self) -> set[tuple[str, str]]:
        """The (cart, SKU) pairs whose state the shopper does not know."""
        return {(lost.cart_id, lost.asked["sku"]) for lost in self.journal.lost if lost.what == journals.BUY}


def _checked_out(books: Books, sight: Sight) -> Iterator[str]:
    order = books.records.orders.get(sight.answer["id"])
    if order is None:
        yield "there is no such order"
        return
    if books.records.inner[order["id"]]["cart_id"] != sight.cart_id:
        yield "it is another cart's order"
    if journals.compared_parts(order)["skus"] != sight.answer["skus"]:
        yield f"its items were {sight.answer['skus']} and are {journals.compared_parts(order)['skus']}"
    bought, ordered = books.put_in[sight.cart_id], sight.answer["skus"]
    for sku in sorted({*bought, *ordered}):
        taken_out = sku in books.short and sku not in ordered  # other shoppers were faster
        known = (sight.cart_id, sku) not in books.perhaps_put_in
        if known and not taken_out and ordered.get(sku, 0) != bought[sku]:
            yield f"{bought[sku]} of {sku} were put into the cart, and {ordered.get(sku, 0)} ordered"


def _chosen(books: Books, sight: Sight) -> Iterator[str]:
    order_id = sight.asked["order_id"]
    order = books.records.orders.get(order_id)
    if order is None:
        yield "there is no such order"
    elif order["selected_shipping_method"] != sight.asked["shipping_id"]:
        yield f"the order goes by {order['selected_shipping_method']}"


def _was_paid(books: Books, sight: Sight) -> Iterator[str]:
    if sight.status == PROCESSING:
        return  # the bank has decided since
    order = books.paid.get(sight.asked["order_id"])
    if order is None:
        status = books.records.orders.get(sight.asked["order_id"], {}).get("status")
        yield f"the order is {status}"
        return
    said = sight.answer["status"]
    if said not in PAID:
        yield f"it said {said}"
    elif PAID.index(said) > PAID.index(order["status"]) and order["id"] not in books.failed_refunds:
        yield f"it said {said}, and the order is {order['status']}"
    number, noted = sight.answer.get("tracking_number"), order["shipping"]["tracking_number"]
    if number is not None and number != noted:
        yield f"its parcel was {number} and is {noted}"
    for name in ("charge", "amount"):
        if sight.answer[name] != order[name]:
            yield f"its {name} was {sight.answer[name]} and is {order[name]}"
    messages = sight.answer.get("notifications") or {}
    if messages.get("email", {}).get("status code") == "202" and not books.records.emails.get(order["id"]):
        yield "the email that it spoke of is not there"
    if messages.get("sms", {}).get("status code") == "201" and not books.records.sms.get(order["id"]):
        yield "the SMS that it spoke of is not there"
    url = sight.answer.get("label_url")
    labels = books.records.labels.get(order["id"], ())
    if url is not None and url not in {label["label_url"] for label in labels if label["status"] != "ERROR"}:
        yield f"its label {url} is none"


def _was_seen(books: Books, sight: Sight) -> Iterator[str]:
    if sight.answer["status"] in PAID:
        yield from _was_paid(books, sight)
    elif sight.answer["status"] == "canceled":
        yield from _was_canceled(books, sight)


def _was_canceled(books: Books, sight: Sight) -> Iterator[str]:
    status = books.records.orders.get(sight.asked["order_id"], {}).get("status")
    if status != "canceled":
        yield f"the order is {status}"


def _was_refunded(books: Books, sight: Sight) -> Iterator[str]:
    order = books.records.orders.get(sight.asked["order_id"], {})
    given_back, said = order.get("amount_returned") or 0, sight.answer["amount_returned"] or 0
    if order.get("id") in books.failed_refunds:
        return  # `books.refunds_match` compares the amounts
    if given_back < said or (sight.asked.get("amount") is None and order.get("status") != "returned"):
        yield f"{said} was said to be returned, and {given_back} is; the order is {order.get('status')}"


JUDGES: dict[str, Callable[[Books, Sight], Iterator[str]]] = {
    journals.CHECKOUT: _checked_out,
    journals.SHIPPING: _chosen,
    journals.PAY: _was_paid,
    journals.LOOK: _was_seen,
    journals.CANCEL: _was_canceled,
    journals.REFUND: _was_refunded,
}

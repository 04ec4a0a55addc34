"""The books: rules for every order that compare the shop's records with the providers' and with what shoppers saw."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.faults import journal as journals
from bench.faults.journal import Sight
from bench.faults.judges import JUDGES, LOST, OPEN, PAID, Books
from bench.faults.records import Row, taxed
from bench.faults.shopper import GOOD

ONE_CHARGE = "one charge per paid order, of its amount"
NO_CHARGE = "no charge without a paid order"
REFUNDS = "refunds match"
STOCK = "stock sold = stock lost"
REDEEMED = "a code is redeemed by the paid orders that have it, and as often as it may be"
ONE_TAX = "one tax transaction per paid order, of its tax, and reversed by each refund"
ONE_LABEL = "one label per paid order"
EMAIL = "at least one email, and exactly one unless its own outcome was unknown"
ONE_SMS = "exactly one SMS"
STUCK = "no order stuck"
LISTED = "the operator's list has the orders that need a person, and no other"
TRUE = "every 2xx seen is true"
REFUSED = "what was refused was not done"
ONE_ORDER = "one order per checkout key"
SAME_ANSWER = "the same key gets the same answer"
NO_BUG = "never a 500"
GOOD_CARD = "a good card pays"
ANSWERED = "every request is answered in the end"
CART = "the cart is empty of what was paid, and of nothing else"
PARCEL = "an order whose parcel is on its way, or that has none and is mailed, is fulfilled"

# How long a provider's event may wait to be handled (seconds): somewhat longer than the longest pause between two
# attempts.
EVENT_WAIT_S = 60.0
MOVING = ("TRANSIT", "DELIVERED")
# What the shop learns from a provider's list when the event was lost: true a few minutes later.
CATCHES_UP = (REFUNDS, STOCK, ONE_TAX, ONE_LABEL, LISTED)
NOTHING_TAKEN: Row = {"id": None, "amount": 0}


@dataclass(frozen=True)
class Violation:
    """A violation of a rule. order: its id, or what else it concerns. detail: what was found."""

    rule: str
    order: str
    detail: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.order}: {self.detail}"


def check(books: Books) -> list[Violation]:
    """Yield every violation of every rule, rule by rule."""
    return [violation for rule in RULES for violation in rule(books)]


def one_charge_per_paid_order(books: Books) -> Iterator[Violation]:
    for order_id, order in books.paid.items():
        charges = _taken(books.records.charges.get(order_id, ()))
        if len(charges) != (order["amount"] > 0):
            took = f"{len(charges)} charges took money"
            yield Violation(ONE_CHARGE, order_id, f"{order['status']} for {order['amount']}, and {took}")
            continue
        charge = charges[0] if charges else NOTHING_TAKEN | {"currency": order["currency"]}
        if (charge["amount"], charge["currency"]) != (order["amount"], order["currency"]):
            wanted = f"{order['amount']} {order['currency']}"
            yield Violation(ONE_CHARGE, order_id, f"{charge['amount']} {charge['currency']} taken for {wanted}")
        if charge["id"] != order["charge"]:
            yield Violation(ONE_CHARGE, order_id, f"the shop knows of {order['charge']}, taken was {charge['id']}")


def no_charge_without_a_paid_order(books: Books) -> Iterator[Violation]:
    for order_id, charges in books.records.charges.items():
        taken = _taken(charges)
        if taken and order_id not in books.paid:
            status = books.records.orders.get(order_id, {}).get("status", "unknown")
            ids = ", ".join(charge["id"] for charge in taken)
            yield Violation(NO_CHARGE, order_id or ids, f"{ids} took money; the order is {status}")


def refunds_match(books: Books) -> Iterator[Violation]:
    for order_id, order in books.records.orders.items():
        refunded = books.refunded.get(order_id, 0)
        # What was both refunded and disputed comes back to the shop.
        charged_back = min(books.lost.get(order_id, 0), max(0, order["amount"] - refunded))
        noted = order["amount_returned"] or 0
        if refunded + charged_back != noted:
            yield Violation(REFUNDS, order_id, f"{refunded} refunded and {charged_back} charged back, {noted} noted")
        if order["amount"] and (order["status"] == "returned") != (
            order["status"] in PAID and noted >= order["amount"]
        ):
            yield Violation(REFUNDS, order_id, f"{order['status']} with {noted} of {order['amount']} returned")


def stock_sold_is_stock_lost(books: Books) -> Iterator[Violation]:
    sold: Counter[str] = Counter()
    for order in books.paid.values():
        if not _given_back(books, order):
            for sku, quantity in journals.compared_parts(order)["skus"].items():
                sold[sku] += quantity
    for article in books.catalogue.articles:
        if article.pieces is None:
            continue
        left = books.records.left.get(article.sku)
        if left is None or left < 0 or article.pieces - left != sold[article.sku]:
            detail = f"{article.pieces} at first, {left} left, {sold[article.sku]} sold and not returned"
            yield Violation(STOCK, article.sku, detail)


def codes_redeemed_match(books: Books) -> Iterator[Violation]:
    redeemed = books.records.redemptions
    for order_id, row in books.records.inner.items():
        wanted = row.get("discount") if order_id in books.paid else None
        if redeemed.get(order_id) != wanted:
            yield Violation(REDEEMED, order_id, f"{row['status']}; redeemed {redeemed.get(order_id)}, not {wanted}")
    counts = Counter(redeemed.values())
    for code in books.records.codes:
        if code["code"] not in books.catalogue.codes:
            continue  # of an earlier run in the same shop
        count, most = counts[code["id"]], code["max_redemptions"]
        if code["redeemed"] != count or (most is not None and count > most):
            detail = f"{count} orders of {'any number' if most is None else most}, {code['redeemed']} counted"
            yield Violation(REDEEMED, code["code"], detail)


def one_tax_transaction_per_paid_order(books: Books) -> Iterator[Violation]:
    for order_id, order in books.paid.items():
        entries, tax = books.records.taxes.get(order_id, ()), books.records.inner[order_id]["tax"]
        sales = [entry for entry in entries if not entry["reversal"]]
        if len(sales) != 1 or tax is None:
            calculated = "none" if tax is None else tax["amount"]
            yield Violation(ONE_TAX, order_id, f"{len(sales)} tax transactions; calculated tax: {calculated}")
            continue
        if taxed(sales[0]) != (order["amount"], tax["amount"]):
            yield Violation(ONE_TAX, order_id, f"{order['amount']} with {tax['amount']} tax, not {taxed(sales[0])}")
        shown = sum(line["amount"] for line in order["items"] if line["type"] == "tax")
        if shown != (0 if tax["included"] else tax["amount"]):
            yield Violation(ONE_TAX, order_id, f"its tax line is {shown} of {tax['amount']}")
        if order_id not in books.untraced:
            yield from _reversed(order, entries, sales[0], books.lost)
    yield from _only_paid(books, ONE_TAX, books.records.taxes)


def _reversed(order: Row, entries: Iterable[Row], sale: Row, lost: Mapping[str, int]) -> Iterator[Violation]:
    """The reversal of each refund, except those of failed refunds, which are reversed themselves."""
    of = {entry["id"]: entry["reversal"]["original_transaction"] for entry in entries if entry["reversal"]}
    valid = [entry for entry in entries if of.get(entry["id"]) == sale["id"] and entry["id"] not in of.values()]
    refunds = {each["id"].replace("orret_", "rf_"): each["amount"] for each in order["returns"]["data"]}
    reversals = {entry["reference"]: -taxed(entry)[0] for entry in valid}
    if reversals != refunds:
        yield Violation(ONE_TAX, order["id"], f"reversed {reversals}, refunded {refunds}")
    tax, most = -sum(taxed(entry)[1] for entry in valid), taxed(sale)[1]
    returned = order["amount"] and order["status"] == "returned" and order["id"] not in lost  # no tax for a dispute
    if tax > most or (returned and tax != most):
        yield Violation(ONE_TAX, order["id"], f"{order['status']}, and {tax} of {most} tax reversed")


def one_label_per_paid_order(books: Books) -> Iterator[Violation]:
    for order_id, order in books.paid.items():
        labels = _bought(books.records.labels.get(order_id, ()))
        if order["upstream_id"] is None:
            if labels:
                yield Violation(ONE_LABEL, order_id, f"{len(labels)} labels, and nothing is shipped")
            continue
        if (_given_back(books, order) or order_id in books.contested) and not labels:
            continue  # refunded or disputed before its label was bought
        if len(labels) != 1:
            yield Violation(ONE_LABEL, order_id, f"{len(labels)} labels")
        # A label whose purchase was interrupted is looked up for its return only.
        elif labels[0]["tracking_number"] != order["shipping"]["tracking_number"] and not (
            order["shipping"]["tracking_number"] is None and _given_back(books, order)
        ):
            numbers = f"{labels[0]['tracking_number']} bought, {order['shipping']['tracking_number']} noted"
            yield Violation(ONE_LABEL, order_id, numbers)
        elif labels[0]["status"] != ("REFUNDED" if _useless(books, order, labels[0]) else "SUCCESS"):
            yield Violation(ONE_LABEL, order_id, f"the label is {labels[0]['status']}, the order {order['status']}")
    yield from _only_paid(books, ONE_LABEL, {key: _bought(found) for key, found in books.records.labels.items()})


def at_least_one_email(books: Books) -> Iterator[Violation]:
    for order_id in books.paid:
        count = len(books.records.emails.get(order_id, ()))
        # How often it was sent again although it may have been sent before.
        uncertain = books.records.messages.get(f"{order_id}:email", {}).get("uncertain", 0)
        if count == 0:
            yield Violation(EMAIL, order_id, "no email")
        elif count > 1 + uncertain:
            yield Violation(EMAIL, order_id, f"{count} emails, of which {uncertain} had an unknown outcome before")
    yield from _only_paid(books, EMAIL, books.records.emails)


def exactly_one_sms(books: Books) -> Iterator[Violation]:
    for order_id in books.paid:
        count = len(books.records.sms.get(order_id, ()))
        if count != 1:
            yield Violation(ONE_SMS, order_id, f"{count} SMS")
    yield from _only_paid(books, ONE_SMS, books.records.sms)


def no_order_stuck(books: Books) -> Iterator[Violation]:
    for order_id, row in books.records.inner.items():
        if row["status"] not in (*PAID, "created", "canceled"):
            yield Violation(STUCK, order_id, f"it is {row['status']}")
        public = books.records.orders.get(order_id)
        if public is None:
            yield Violation(STUCK, order_id, "the list of orders does not have it")
    for row in books.records.owed:
        if row["kind"] == "label" and row["state"] == "on_hold" and row["subject"] in books.contested:
            continue  # held until the bank has decided
        if row["kind"] == "tax_reversal" and row["state"] == "failed" and row["subject"] in books.untraced:
            continue  # an operator's work
        if row["state"] != "done":
            detail = f"{row['kind']} {row['state']} after {row['tries']} tries: {row['error']}"
            yield Violation(STUCK, row["subject"], detail)
    for row in books.records.refunds:
        if row["state"] == "asked":
            yield Violation(STUCK, row["order_id"], f"{row['amount']} is still to be given back: {row['error']}")
    wanted = {row["stock_key"] for row in books.records.inner.values() if row["status"] in PAID}
    for hold in books.records.holds:
        if hold["state"] == "held" and hold["key"] not in wanted:
            yield Violation(STUCK, hold["key"], "it holds stock for no paid order")
    for event in books.records.events:
        if event["state"] == "failed" or event["age"] > EVENT_WAIT_S:
            tried = f"{event['state']} after {event['tries']} tries in {event['age']:.0f} s: {event['error']}"
            yield Violation(STUCK, event["key"], f"{event['kind']}, which {event['service']} received: {tried}")
    for service, count in books.records.parked.items():
        yield Violation(STUCK, service, f"{count} requests were put aside for an operator")


def who_needs_a_person_is_listed(books: Books) -> Iterator[Violation]:
    """The operator's list has every open dispute, fraud warning, failed refund and lost message, and no other. Nobody
    has to see to the messages of a returned order."""
    wanted: set[tuple[str, str]] = set()
    for order_id, order in books.paid.items():
        if order_id in books.contested:
            open_ones = (*OPEN, "lost") if order_id in books.lost_in_part else OPEN
            for charge in _taken(books.records.charges.get(order_id, ())):
                disputes = books.records.disputes.get(charge["id"], ())
                wanted |= {(order_id, "dispute") for each in disputes if each["status"] in open_ones}
                wanted |= {(order_id, "fraud_warning") for _ in books.records.warnings.get(charge["id"], ())}
        failed = books.failed_refunds.get(order_id, 0) - books.left_to_disputes.get(order_id, 0)
        made_again = books.refunded.get(order_id, 0) >= failed
        if not made_again and order["status"] != "returned":
            wanted.add((order_id, "refund"))
        messages = (books.records.messages.get(f"{order_id}:{kind}") for kind in ("email", "sms"))
        if not _given_back(books, order) and any(message and message["progress"] in LOST for message in messages):
            wanted.add((order_id, "message"))
    listed = {(entry["order_id"], entry["kind"]) for entry in books.records.attention}
    for order_id, kind in sorted(wanted - listed):
        yield Violation(LISTED, order_id, f"{kind} is not on the list")
    for order_id, kind in sorted(listed - wanted):
        yield Violation(LISTED, order_id, f"{kind} is on the list, and needs nobody")


def every_2xx_is_true(books: Books) -> Iterator[Violation]:
    for sight in books.journal.sights:
        if sight.good and (judge := JUDGES.get(sight.what)) is not None:
            for detail in judge(books, sight):
                yield Violation(TRUE, _order_of(sight), f"{sight.what} answered {sight.status}, but {detail}")


def what_was_refused_was_not_done(books: Books) -> Iterator[Violation]:
    """An order whose payments were all declined, as the shopper saw, is not paid."""
    unsure = {_about(lost.asked) for lost in books.journal.lost}
    seen: dict[str, list[Sight]] = defaultdict(list)
    for sight in books.journal.of(journals.PAY):
        seen[_order_of(sight)].append(sight)
    for order_id, sights in seen.items():
        asked_bank = any(isinstance(sight.answer, dict) and sight.answer.get("next_action") for sight in sights)
        if order_id in unsure or asked_bank or any(sight.good for sight in sights):
            continue
        if order_id in books.paid:
            answers = ", ".join(str(sight.status) for sight in sights)
            yield Violation(REFUSED, order_id, f"its payments were answered {answers}, and it is paid")


def one_order_per_checkout_key(books: Books) -> Iterator[Violation]:
    keys: dict[str, set[str]] = defaultdict(set)
    known: dict[str, set[str]] = defaultdict(set)
    for sight in books.journal.of(journals.CHECKOUT):
        keys[sight.cart_id].add(sight.key)
        if sight.good:
            known[sight.key].add(sight.answer["id"])
    for lost in books.journal.lost:
        if lost.what == journals.CHECKOUT:
            keys[lost.cart_id].add(lost.key)
    for key, ids in known.items():
        if len(ids) > 1:
            yield Violation(ONE_ORDER, ", ".join(sorted(ids)), f"all answered under {key}")
    orders = Counter(row["cart_id"] for row in books.records.inner.values())
    for cart_id, count in orders.items():
        if count > len(keys[cart_id]):
            yield Violation(ONE_ORDER, cart_id, f"{count} orders of {len(keys[cart_id])} checkouts")


def the_same_key_gets_the_same_answer(books: Books) -> Iterator[Violation]:
    for unlike in books.journal.unlike:
        yield Violation(SAME_ANSWER, unlike.key, f"{unlike.what}: {unlike.first}, and then {unlike.second}")


def never_a_500(books: Books) -> Iterator[Violation]:
    for bug in books.journal.bugs:
        yield Violation(NO_BUG, "", bug)


def every_request_is_answered(books: Books) -> Iterator[Violation]:
    for lost in books.journal.lost:
        if lost.why != journals.WALKED_AWAY:
            yield Violation(ANSWERED, _about(lost.asked) or lost.cart_id, f"{lost.what}: {lost.why}")


def a_good_card_pays(books: Books) -> Iterator[Violation]:
    """A card that no bank declines pays, unless the order was canceled or paid otherwise, its stock was sold, or its
    code has a limit: other payers may have held its last redemptions."""
    limited = {code["id"] for code in books.records.codes if code["max_redemptions"] is not None}
    for sight in books.journal.of(journals.PAY, good=False):
        order = books.records.orders.get(_order_of(sight))
        if order is None or (order["amount"] and sight.asked.get("card") not in GOOD):
            continue
        skus = journals.compared_parts(order)["skus"]
        sold_out = any(sku in books.short or books.records.left.get(sku) == 0 for sku in skus)
        sold_out |= books.records.inner[order["id"]].get("discount") in limited
        if sight.status != 409 or not (sold_out or order["status"] == "canceled" or order["id"] in books.paid):
            yield Violation(
                GOOD_CARD, order["id"], f"{sight.asked.get('card')} was answered {sight.status} {sight.answer}"
            )


def the_cart_is_empty_of_what_was_paid(books: Books) -> Iterator[Violation]:
    taken: dict[str, Counter[str]] = defaultdict(Counter)
    for order_id in {*books.paid, *books.begun_debits}:  # a bank debit empties it when the bank accepts it
        order = books.records.orders[order_id]
        taken[books.records.inner[order_id]["cart_id"]].update(journals.compared_parts(order)["skus"])
    for cart_id in {row["cart_id"] for row in books.records.inner.values()}:
        put_in, held = books.put_in[cart_id], books.records.carts.get(cart_id, {})
        for sku in sorted({*put_in, *held}):
            if (cart_id, sku) in books.perhaps_put_in:
                continue
            wanted, holds = max(0, put_in[sku] - taken[cart_id][sku]), held.get(sku, 0)
            if holds != wanted and not (sku in books.short and holds == 0):
                bought = f"{put_in[sku]} put in, {taken[cart_id][sku]} paid"
                yield Violation(CART, cart_id, f"{holds} of {sku} are in it; {bought}")


def a_parcel_on_its_way_is_fulfilled(books: Books) -> Iterator[Violation]:
    for order_id, order in books.paid.items():
        if order["upstream_id"] is None:
            if order["status"] == "paid":
                yield Violation(PARCEL, order_id, "nothing of it is shipped, and it is paid")
            continue
        moving = [each for each in _bought(books.records.labels.get(order_id, ())) if _moves(each)]
        if moving and order["status"] == "paid":
            yield Violation(PARCEL, order_id, f"its parcel is in {moving[0]['tracking_status']}, and it is paid")
        elif order["status"] == "fulfilled" and not moving:
            yield Violation(PARCEL, order_id, "it is fulfilled, and its parcel did not move")


Rule = Callable[[Books], Iterator[Violation]]
RULES: tuple[Rule, ...] = (
    one_charge_per_paid_order,
    no_charge_without_a_paid_order,
    refunds_match,
    stock_sold_is_stock_lost,
    codes_redeemed_match,
    one_tax_transaction_per_paid_order,
    one_label_per_paid_order,
    at_least_one_email,
    exactly_one_sms,
    no_order_stuck,
    who_needs_a_person_is_listed,
    every_2xx_is_true,
    what_was_refused_was_not_done,
    one_order_per_checkout_key,
    the_same_key_gets_the_same_answer,
    never_a_500,
    every_request_is_answered,
    a_good_card_pays,
    the_cart_is_empty_of_what_was_paid,
    a_parcel_on_its_way_is_fulfilled,
)


def _taken(charges: Any) -> list[Row]:
    """Return the charges that took money; Stripe also keeps the declined ones."""
    return [charge for charge in charges if charge["paid"]]


def _bought(labels: Any) -> list[Row]:
    return [label for label in labels if label["status"] != "ERROR"]


def _given_back(books: Books, order: Row) -> bool:
    """Whether the goods were given back: the order is returned, or was until a refund failed."""
    failed = any(row["order_id"] == order["id"] and row["state"] == "failed" for row in books.records.refunds)
    return order["status"] == "returned" or (failed and books.records.inner[order["id"]]["stock_key"] is None)


def _useless(books: Books, order: Row, label: Row) -> bool:
    """Whether the label must be refunded; once its parcel has moved, the carrier does not refund it."""
    return _given_back(books, order) and not _moves(label)


def _moves(label: Row) -> bool:
    return label.get("tracking_status") in MOVING


def _only_paid(books: Books, rule: str, found: dict[str, list[Row]]) -> Iterator[Violation]:
    for order_id, entries in found.items():
        if entries and order_id not in books.paid:
            status = books.records.orders.get(order_id, {}).get("status", "unknown")
            yield Violation(rule, order_id, f"{len(entries)} for an order that is {status}")


def _about(asked: dict[str, Any]) -> str:
    return str(asked.get("order_id") or "")


def _order_of(sight: Sight) -> str:
    if sight.what == journals.CHECKOUT and sight.good:
        return str(sight.answer["id"])
    return _about(sight.asked) or sight.cart_id

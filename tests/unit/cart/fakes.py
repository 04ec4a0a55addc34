"""In-memory fakes of the payment provider and of the services that a purchase calls. A test sets their failures."""

from __future__ import annotations

import threading
from typing import Any

from cart.rules.dispute import Case
from cart.rules.evidence import Facts, Response
from cart.rules.payments import (
    ACTION,
    CALLED_OFF,
    CANCELED,
    OPEN,
    PROCESSING,
    REPLAYED,
    SUCCEEDED,
    USED_UP,
    OrderRefund,
    Payment,
)
from cart.rules.tax import Calculation, Entry, Question
from contracts.errors import (
    Conflict,
    OutcomeUnknown,
    PaymentDeclined,
    ProviderFailure,
    Refused,
    ShopError,
    Unavailable,
)


class Bank:
    """A `Payments` port that remembers idempotency keys as Stripe does.

    Attributes:
        mood: how the next confirmation or refund ends. After that, it is "take" again.
            "take": it succeeds.
            "decline": the card is declined.
            "ask": the holder must confirm.
            "process": the bank settles it later; it cannot be canceled.
            "process slowly": the same, and it can be canceled.
            "lose": it succeeds, but the answer is lost.
            "drop": it never happens, and the answer is lost.
            "busy": it succeeds, but the answer is a refusal for too many requests.
            "full": it is refused for too many requests.
            "break" (refunds only): a failure is kept under the key.
            "break late" (refunds only): the refund succeeds, and a failure is kept under the key.
            "pend" (refunds only): the refund is pending.
        disputes: whether each payment is disputed as soon as it is made.
        opening: the moods of the next payments to open, in turn: "take", "lose", "drop" or "full".
    """

    def __init__(self) -> None:
        self.payments: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, Any] = {}
        self.mood = "take"
        self.opening: list[str] = []
        self.charges: list[tuple[str, int, str]] = []
        self.returned: list[tuple[str, OrderRefund]] = []
        self.down = False
        self.disputes = False
        self.lock = threading.RLock()

    def open(
        self,
        order_id: str,
        amount: int,
        currency: str,
        email: str,
        key: str,
        discount: str | None = None,
        redirects: bool = False,
    ) -> Payment:
        with self.lock:
            mood = self.opening.pop(0) if self.opening else "take"
            if mood == "full":
                raise Unavailable("too many requests")
            if mood == "drop":
                raise OutcomeUnknown("no answer")
            known = self.payments.get(self.answers.get(key, ""))
            if known is not None and (known["amount"], known["redirects"]) != (amount, redirects):
                raise ProviderFailure("Stripe was asked for two things under one key.")
            if key not in self.answers:
                payment = f"pi_{len(self.payments) + 1}"
                opened = {"state": OPEN, "amount": amount, "decline": None, "discount": discount}
                self.payments[payment] = {**opened, "redirects": redirects, "return_url": None}
                self.answers[key] = payment
            if mood == "lose":
                raise OutcomeUnknown("no answer")
        return self.find(self.answers[key])

    @property
    def states(self) -> list[str]:
        """The state of each payment, the oldest first."""
        return [payment["state"] for payment in self.payments.values()]

    def method(self, card: str, key: str) -> str:
        return card.replace("tok_", "pm_")

    def confirm(self, payment_id: str, method: str, key: str, return_url: str | None = None) -> Payment:
        with self.lock:
            self.payments[payment_id]["return_url"] = return_url
            return self._confirm(payment_id, method, key)

    def _confirm(self, payment_id: str, method: str, key: str) -> Payment:
        self._answers()
        if key in self.answers:
            answer = self.answers[key]
            if isinstance(answer, ShopError):
                raise answer
            return answer  # type: ignore[no-any-return]
        payment = self.payments[payment_id]
        if payment["state"] in (SUCCEEDED, CANCELED):
            raise Refused(f"It is {payment['state']}.", {CALLED_OFF: True})
        mood, self.mood = self.mood, "take"
        if mood == "drop":
            raise OutcomeUnknown("no answer")
        if mood == "full":
            raise Unavailable("too many requests")
        if mood == "used":
            raise Refused("It has been used.", {USED_UP: True})
        if mood == "decline":
            payment["decline"] = {"detail": "Declined.", "code": "card_declined", "decline_code": "generic_decline"}
            self.answers[key] = PaymentDeclined("Declined.", {"code": "card_declined"})
            raise self.answers[key]
        if mood == "ask":
            payment["state"] = ACTION
        elif mood in ("process", "process slowly"):
            payment |= {"state": PROCESSING, "final": mood == "process"}
        else:
            self.take(payment_id, method)
        self.answers[key] = self.find(payment_id)
        if mood == "lose":
            raise OutcomeUnknown("no answer")
        if mood == "busy":
            raise Unavailable("too many requests")
        return self.answers[key]  # type: ignore[no-any-return]

    def take(self, payment_id: str, method: str = "pm_holder") -> None:
        self.payments[payment_id]["state"] = SUCCEEDED
        self.charges.append((payment_id, self.payments[payment_id]["amount"], method))

    def return_debit(self, payment_id: str) -> None:
        """The bank returns the debit of a payment that it was processing."""
        decline = {"detail": "The account has insufficient funds.", "code": "insufficient_funds", "decline_code": None}
        self.payments[payment_id] |= {"state": OPEN, "decline": decline}

    def find(self, payment_id: str) -> Payment:
        self._answers()
        kept = self.payments[payment_id]
        state = kept["state"]
        return Payment(
            payment_id,
            state,
            kept["amount"],
            charge=f"ch_{payment_id}" if state == SUCCEEDED else None,
            action={"client_secret": "secret", "next_action": {}} if state == ACTION else None,
            decline=kept["decline"],
            disputed=self.disputes,
            redirects=kept["redirects"],
            refunded=state == SUCCEEDED and self.given_back(payment_id) == kept["amount"],
        )

    def cancel(self, payment_id: str) -> Payment:
        self._answers()
        with self.lock:
            payment = self.payments[payment_id]
            if payment["state"] != SUCCEEDED and not (payment["state"] == PROCESSING and payment["final"]):
                self.payments[payment_id]["state"] = CANCELED
        return self.find(payment_id)

    def refund(self, payment_id: str, amount: int, refund_id: str, order_id: str, key: str) -> OrderRefund:
        with self.lock:
            return self._refund(payment_id, amount, refund_id, key)

    def _refund(self, payment_id: str, amount: int, refund_id: str, key: str) -> OrderRefund:
        self._answers()
        if isinstance(self.answers.get(key), ShopError):
            raise self.answers[key]
        if key in self.answers:
            return self.answers[key]  # type: ignore[no-any-return]
        mood, self.mood = self.mood, "take"
        if mood == "drop":
            raise OutcomeUnknown("no answer")
        if mood in ("break", "break late"):
            if mood == "break late":
                self.give_back(payment_id, amount, refund_id)
            self.answers[key] = OutcomeUnknown("500", {REPLAYED: True})
            raise self.answers[key]
        try:
            self.answers[key] = self.give_back(payment_id, amount, refund_id, pending=mood == "pend")
        except Refused as refused:
            self.answers[key] = refused
            raise
        if mood == "lose":
            raise OutcomeUnknown("no answer")
        return self.answers[key]  # type: ignore[no-any-return]

    def give_back(
        self, payment_id: str, amount: int, refund_id: str | None = None, pending: bool = False
    ) -> OrderRefund:
        """Make a refund. Without `refund_id` it is a refund that was made outside the shop."""
        if amount > self.payments[payment_id]["amount"] - self.given_back(payment_id):
            raise Refused("More than is left.")
        refund = OrderRefund(f"re_{len(self.returned) + 1}", amount, 1000.0, refund_id, pending=pending)
        self.returned.append((payment_id, refund))
        return refund

    def given_back(self, payment_id: str) -> int:
        return sum(refund.amount for paid, refund in self.returned if paid == payment_id and not refund.failed)

    def refunds(self, payment_id: str) -> list[OrderRefund]:
        self._answers()
        return [refund for paid, refund in reversed(self.returned) if paid == payment_id]

    def _answers(self) -> None:
        if self.down:
            raise OutcomeUnknown("no answer")


class Disputed:
    """A `Disputes` port: the cases that a test sets.

    Attributes:
        cases_there: all cases, the newest first.
        asked: the payments that it was asked about.
        down: whether it can be reached.
    """

    def __init__(self) -> None:
        self.cases_there: list[Case] = []
        self.asked: list[str] = []
        self.down = False

    def set(self, *cases: Case) -> None:
        self.cases_there = list(cases)

    def of_payment(self, payment_id: str) -> list[Case]:
        if self.down:
            raise Unavailable("no answer")
        self.asked.append(payment_id)
        return [case for case in self.cases_there if case.payment == payment_id]

    def cases(self, after: str | None, since: float) -> tuple[list[Case], str | None]:
        if self.down:
            raise Unavailable("no answer")
        return [case for case in self.cases_there if case.created >= since], None

    def case(self, case_id: str, kind: str) -> Case | None:
        return next((case for case in self.cases_there if (case.id, case.kind) == (case_id, kind)), None)

    def response(self, case: Case, facts: Facts) -> Response:
        return Response({"customer_name": facts.order.customer.name}, {"receipt": "a file"}, f"send {case.id}")


class Shelf:
    """The products service: finite stock, reserved by idempotency key."""

    def __init__(self, left: int = 10) -> None:
        self.left = left
        self.held: dict[str, int] = {}
        self.released: set[str] = set()
        self.down = False

    def stock_left(self, skus: list[str]) -> dict[str, int | None]:
        return dict.fromkeys(skus, self.left)

    def reserve(self, key: str, items: list[dict[str, Any]]) -> None:
        if self.down:
            raise OutcomeUnknown("no answer")
        if key in self.held:
            return
        wanted = sum(item["quantity"] for item in items)
        if key in self.released or wanted > self.left:
            raise Conflict("Not enough.")
        self.left -= wanted
        self.held[key] = wanted

    def release(self, key: str) -> None:
        if self.down:
            raise OutcomeUnknown("no answer")
        self.released.add(key)
        self.left += self.held.pop(key, 0)


class Carrier:
    """The shipping service: one label per idempotency key."""

    def __init__(self) -> None:
        self.bought: dict[str, dict[str, Any]] = {}
        self.terms: list[tuple[Any, ...]] = []
        self.voided: list[tuple[str, str]] = []
        self.taken_back = "refunded"
        self.taken_back_each: dict[str, Any] = {}  # what is said of each label; nothing by the previous release
        self.failing: ShopError | None = None
        self.parcels = 1

    def buy_label(self, shipment_id: str, rate_id: str, key: str, *terms: Any) -> dict[str, Any]:
        self.terms.append(terms)
        if self.failing is not None:
            raise self.failing
        names = [f"{key}.{number}" if number else key for number in range(self.parcels)]
        labels = [
            {"label_url": f"http://labels/{name}", "tracking_number": f"940{place}"} for place, name in enumerate(names)
        ]
        label = {**labels[0], "carrier": "USPS", "parcels": self.parcels, "labels": labels}
        return self.bought.setdefault(key, {"object_id": shipment_id, **label})

    def find_label(self, shipment_id: str) -> dict[str, Any]:
        for label in self.bought.values():
            if label["object_id"] == shipment_id:
                return label
        raise Conflict("no label yet")

    def tracking(self, shipment_id: str) -> dict[str, Any]:
        if not self.bought:
            raise Conflict("no label yet")
        return {"carrier": "USPS", "tracking_number": "9400", "tracking_history": []}

    def refund_label(self, shipment_id: str, key: str) -> dict[str, Any]:
        if self.failing is not None:
            raise self.failing
        if (shipment_id, key) not in self.voided:
            self.voided.append((shipment_id, key))
        return {"object_id": shipment_id, "status": self.taken_back, **self.taken_back_each}


class Postman:
    """The notifications service: one message per idempotency key."""

    def __init__(self) -> None:
        self.mails: dict[str, Any] = {}
        self.texts: dict[str, Any] = {}
        self.letters: dict[str, tuple[str, str, str]] = {}
        self.failing: ShopError | None = None

    def order_paid_email(self, order: dict[str, Any], label: Any, key: str) -> dict[str, Any]:
        if self.failing is not None:
            raise self.failing
        self.mails[key] = (order, label)
        return {"status code": "202", "message_id": f"m{len(self.mails)}"}

    def send_email(
        self, to: str, subject: str, content: str, sender: str | None, key: str, receipt: bool = False
    ) -> dict[str, Any]:
        if self.failing is not None:
            raise self.failing
        self.letters[key] = (to, subject, content)
        return {"status code": "202", "message_id": "m2"}

    def order_paid_sms(self, order: dict[str, Any], key: str) -> dict[str, Any]:
        if self.failing is not None:
            raise self.failing
        self.texts[key] = order
        return {"status code": "201", "sid": "SM1", "status": "queued"}


class TaxOffice:
    """A `Taxes` port: 10 % of everything, and the sales and reversals that it was asked to record.

    Attributes:
        down: whether it can be reached.
        loses: how many of the next records are made, and their answers lost.
    """

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.entries: dict[str, Entry] = {}
        self.keys: dict[str, str] = {}
        self.down = False
        self.loses = 0
        self.expires_at = 9_000_000_000

    def calculate(self, question: Question) -> Calculation:
        self._answers()
        self.asked.append(question)
        tax = question.amount // 11 if question.included else question.amount // 10
        added, contained = (0, tax) if question.included else (tax, 0)
        name = f"taxcalc_{len(self.asked)}"
        return Calculation(name, self.expires_at, added, contained, question.amount + added)

    def record(self, calculation: str, reference: str, key: str) -> str | None:
        asked = self.asked[int(calculation.removeprefix("taxcalc_")) - 1]
        tax = asked.amount // 11 if asked.included else asked.amount // 10
        total = asked.amount + (0 if asked.included else tax)
        return self._once(Entry(f"tax_{reference}", reference, total, tax), key)

    def reverse(self, sale: str, amount: int, reference: str, key: str) -> str | None:
        sold = self.entries[sale]
        return self._once(Entry(f"tax_{reference}", reference, -amount, -amount * sold.tax // sold.amount, sale), key)

    def undo(self, reversal: str, reference: str, key: str) -> str | None:
        made = self.entries[reversal]
        return self._once(Entry(f"tax_{reference}", reference, -made.amount, -made.tax, reversal), key)

    def find(self, entry: str) -> Entry | None:
        self._answers()
        return self.entries.get(entry)

    def _once(self, entry: Entry, key: str) -> str | None:
        self._answers()
        if key not in self.keys:
            if any(each.reference == entry.reference for each in self.entries.values()):
                return None
            self.keys[key], self.entries[entry.id] = entry.id, entry
        if self.loses:
            self.loses -= 1
            raise OutcomeUnknown("no answer")
        return self.keys[key]

    def _answers(self) -> None:
        if self.down:
            raise Unavailable("The tax office cannot be reached.")

"""Stripe's disputes and Radar's early fraud warnings, and the evidence that Stripe takes.

Sources: https://docs.stripe.com/api/disputes and https://docs.stripe.com/api/radar/early_fraud_warnings.
"""

from __future__ import annotations

from typing import Any

from cart.rules.attention import DISPUTE, FRAUD_WARNING
from cart.rules.dispute import ACTIONABLE, OVER, Case
from cart.rules.evidence import Facts, Response
from cart.stripe.evidence import FILES, evidence_of
from cart.stripe.lists import StripePages, bounds, whole
from chassis.providers.stripe_sdk import stripe
from chassis.records import SetAside, Unreadable, read_one
from contracts.errors import OutcomeUnknown

WORDS = {DISPUTE: "dispute at Stripe", FRAUD_WARNING: "fraud warning at Stripe"}


class StripeDisputes(StripePages):
    """The port `cart.rules.dispute.Disputes` over Stripe."""

    def of_payment(self, payment_id: str) -> list[Case]:
        asked: Any = {"payment_intent": payment_id, "limit": 100}

        def ask(client: stripe.StripeClient) -> list[Case]:
            disputes = client.v1.disputes.list(asked).auto_paging_iter()
            warnings = client.v1.radar.early_fraud_warnings.list(asked).auto_paging_iter()
            return [*map(_dispute, disputes), *map(_warning, warnings)]

        try:
            return self._payments.asked(ask)
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise OutcomeUnknown("Stripe's answer cannot be read.") from error

    def cases(self, after: str | None, since: float) -> tuple[list[Case | SetAside], str | None]:
        """See `cart.disputes.watch.CaseLists`: all disputes, then all warnings."""
        kind, _, last = (after or DISPUTE).partition(":")
        asked: Any = bounds(last or None, since)

        def ask(client: stripe.StripeClient) -> Any:
            return (client.v1.disputes if kind == DISPUTE else client.v1.radar.early_fraud_warnings).list(asked)

        page, following = self._page(ask, WORDS[kind], _dispute if kind == DISPUTE else _warning, last or None)
        if following is not None:
            return page, f"{kind}:{following}"
        return page, FRAUD_WARNING if kind == DISPUTE else None

    def case(self, case_id: str, kind: str) -> Case | SetAside | None:
        def ask(client: stripe.StripeClient) -> Any:
            asked = client.v1.disputes if kind == DISPUTE else client.v1.radar.early_fraud_warnings
            return asked.retrieve(case_id)

        found = self._one(ask)
        return None if found is None else read_one(WORDS[kind], found, _dispute if kind == DISPUTE else _warning)

    def response(self, case: Case, facts: Facts) -> Response:
        """See the port. Stripe takes nothing about a warning, and nothing once a dispute is closed."""
        if case.kind == FRAUD_WARNING:
            refund = f"POST /v1/refunds with payment_intent={case.payment} returns the money, and avoids a dispute."
            return Response(None, {}, f"Nothing is submitted for a warning. {refund}")
        if not case.is_open:
            return Response(None, {}, f"Nothing: the dispute is {case.status}.")
        submit = f"POST /v1/disputes/{case.id} with these as evidence[…] and submit=true; the bank reads it only once."
        return Response(evidence_of(facts), FILES, submit)


def _dispute(dispute: Any) -> Case:
    body = dispute.to_dict()
    due = (body.get("evidence_details") or {}).get("due_by")
    return Case(
        id=body["id"],
        kind=DISPUTE,
        payment=body.get("payment_intent") or "",
        status=_word(body["status"]),
        reason=_word(body["reason"]),
        amount=whole(body["amount"]),
        created=whole(body["created"]),
        evidence_due_by=None if due is None else whole(due),
    )


def _warning(warning: Any) -> Case:
    body = warning.to_dict()
    status = ACTIONABLE if body["actionable"] else OVER
    payment, created = body.get("payment_intent") or "", whole(body["created"])
    return Case(body["id"], FRAUD_WARNING, payment, status, _word(body["fraud_type"]), 0, created)


def _word(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 64:
        raise Unreadable(f"{str(value)[:20]!r} is no status or reason")
    return value

"""Stripe's disputes: to read them, to answer with evidence, and to accept them.

The bank decides on `evidence[uncategorized_text]` as "Test your application" documents
(https://docs.stripe.com/testing#evidence): `winning_evidence`, `losing_evidence`, `escalate_inquiry_evidence`. Other
evidence stays under review. The answer to the submission still says `under_review`, as Stripe's does; the decision
follows at once.
"""

from __future__ import annotations

import copy

from sandbox.state import without_private
from sandbox.stripe.dispute_cases import CLOSED, EVIDENCE_FILES, EVIDENCE_TEXTS, decide
from sandbox.stripe.endpoint import Desk, Endpoint, Parameters
from sandbox.stripe.errors import StripeFailure, invalid, missing_object
from sandbox.stripe.files import known_file
from sandbox.stripe.lists import page
from sandbox.stripe.params import EXPAND, PAGE, UNSET, Bool, CreatedRange, Metadata, Obj, Str, Type, merged

MOST_CHARACTERS = 150_000
SUBMISSION_METHODS = ("manual", "prefer_manual", "prefer_smart_disputes", "smart_disputes")
LIST: dict[str, Type] = {**PAGE, "charge": Str(), "created": CreatedRange(), "payment_intent": Str()}
# `appeal` and `enhanced_evidence` are left out: the sandbox has no such program.
MODIFY: dict[str, Type] = {
    "evidence": Obj({name: Str(limit=20_000) for name in (*EVIDENCE_TEXTS, *EVIDENCE_FILES)}),
    "expand": EXPAND,
    "intended_submission_method": Str(choices=SUBMISSION_METHODS),
    "metadata": Metadata(unsettable=True),
    "submit": Bool(),
}
CLOSE: dict[str, Type] = {"expand": EXPAND}
_RESULTS = {"winning_evidence": "won", "losing_evidence": "lost", "escalate_inquiry_evidence": "escalated"}


def stored_dispute(desk: Desk, dispute_id: str) -> Parameters:
    """Return a dispute as stored; StripeFailure (404) when it does not exist."""
    body = desk.state.get("dispute", dispute_id)
    if body is None:
        raise missing_object("dispute", dispute_id, param="dispute")
    return body


def open_case(desk: Desk, dispute_id: str) -> Parameters:
    """Return a dispute that is not closed; StripeFailure (400) when it is."""
    body = stored_dispute(desk, dispute_id)
    if body["status"] in CLOSED:
        raise StripeFailure("This dispute is already closed")
    return body


def _retrieve(desk: Desk, asked: Parameters, dispute: str) -> Parameters:
    return without_private(stored_dispute(desk, dispute))


def _list(desk: Desk, asked: Parameters) -> Parameters:
    where: dict[str, str] = {name: asked[name] for name in ("charge", "payment_intent") if name in asked}
    found = page(desk.state, "dispute", "/v1/disputes", asked, where)
    return {**found, "data": [without_private(body) for body in found["data"]]}


def _modify(desk: Desk, asked: Parameters, dispute: str) -> Parameters:
    body = open_case(desk, dispute)
    evidence, details = body["evidence"], body["evidence_details"]
    given = asked.get("evidence", {})
    for name in EVIDENCE_FILES:
        if name in given and given[name] != UNSET:
            known_file(desk, given[name], f"evidence[{name}]")
    evidence |= given
    if sum(len(text) for text in evidence.values() if isinstance(text, str)) > MOST_CHARACTERS:
        raise invalid(f"The combined character count of all fields is limited to {MOST_CHARACTERS}.", "evidence")
    details["has_evidence"] = any(evidence.values())
    body["metadata"] = merged(body["metadata"], asked.get("metadata"))
    if "intended_submission_method" in asked:
        body["intended_submission_method"] = asked["intended_submission_method"]
    submitted = asked.get("submit", True) and details["has_evidence"] and ("evidence" in asked or "submit" in asked)
    if submitted:
        details |= {
            "past_due": desk.now() > details["due_by"],
            "submission_count": details["submission_count"] + 1,
            "submission_method": "manual",
        }
        body["status"] = "warning_under_review" if body["status"].startswith("warning_") else "under_review"
    desk.state.put("dispute", dispute, body)
    answer = without_private(copy.deepcopy(body))
    result = _RESULTS.get((evidence["uncategorized_text"] or "").strip())
    if submitted and result is not None:
        decide(desk, body, result)
    return answer


def _close(desk: Desk, asked: Parameters, dispute: str) -> Parameters:
    return without_private(decide(desk, open_case(desk, dispute), "lost"))


ENDPOINTS = (
    Endpoint("GET", "/v1/disputes", LIST, _list),
    Endpoint("GET", "/v1/disputes/{dispute}", {"expand": EXPAND}, _retrieve),
    Endpoint("POST", "/v1/disputes/{dispute}", MODIFY, _modify),
    Endpoint("POST", "/v1/disputes/{dispute}/close", CLOSE, _close),
)

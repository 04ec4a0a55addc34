"""Shippo's refunds of labels: QUEUED, then PENDING, then SUCCESS (the label was unused) or ERROR (it was used).

Source: "Refunding labels", https://docs.goshippo.com/docs/billing_and_invoices/refundinglabels/ - QUEUED: Shippo
processes the request; PENDING: it waits for the carrier's tracking data, up to 14 days; ERROR: the shipment was used.
"""

from __future__ import annotations

from typing import Any

from sandbox.ids import hexadecimal
from sandbox.later import forget, plan
from sandbox.shippo.errors import OWNER, REQUIRED, check_known, invalid, moment
from sandbox.shippo.invoices import add_item, price_of
from sandbox.shippo.options import ShippoOptions
from sandbox.shippo.shipments import ASYNC_SECONDS
from sandbox.state import State

OPEN = ("QUEUED", "PENDING")
STATUSES = ("PENDING", "SUCCESS", "ERROR")
# The status of the label's transaction for each status of its refund.
_LABEL = {"QUEUED": "REFUNDPENDING", "PENDING": "REFUNDPENDING", "SUCCESS": "REFUNDED", "ERROR": "REFUNDREJECTED"}
_NO_LABEL = ("ERROR", "QUEUED", "WAITING", "REFUNDED", "REFUNDPENDING")


def create_refund(state: State, given: Any) -> dict[str, Any]:
    """Ask for the refund of a label and store it; ShippoFailure (400) when the request is invalid.

    With `async` it is QUEUED at first. Otherwise it is final at once, unless the option `refund_seconds` is on.
    """
    given = check_known(given, frozenset(("transaction", "async")))
    if not given.get("transaction"):
        raise invalid({"transaction": [REQUIRED]})
    if given.get("async") not in (None, True, False):
        raise invalid({"async": ["Must be a valid boolean."]})
    transaction = state.get("transaction", str(given["transaction"]))
    if transaction is None or transaction["status"] in _NO_LABEL:
        raise invalid({"transaction": ["There is no label of this transaction to refund."]})
    now, options = state.now(), ShippoOptions.of(state)
    seconds = options.refund_seconds
    if seconds is not None and given.get("async"):
        seconds = max(seconds, ASYNC_SECONDS)
    refund: dict[str, Any] = {
        "object_id": hexadecimal(),
        "object_created": moment(now),
        "object_updated": moment(now),
        "object_owner": OWNER,
        "status": "QUEUED",
        "transaction": transaction["object_id"],
        "test": True,
        "_rejected": options.draw(state) < options.refund_error_rate,
        "_ends_at": None if seconds is None else now + seconds,
    }
    change_refund(state, refund, _outcome(refund, transaction) if seconds == 0 else "QUEUED")
    if seconds != 0:
        queued_for = ASYNC_SECONDS if seconds is None else min(seconds, ASYNC_SECONDS)
        plan(state, "shippo_refund", refund["object_id"], now + queued_for, "next")
    return refund


def refund_with(state: State, object_id: str) -> dict[str, Any] | None:
    """Return the refund with this id, or the last one of the transaction with this id; None when there is none."""
    found = state.get("shippo_refund", object_id)
    return found or next(state.each("shippo_refund", {"transaction": object_id}, limit=1), None)


def change_refund(state: State, refund: dict[str, Any], status: str) -> dict[str, Any]:
    """Set the status of a refund and of the label's transaction; return the refund."""
    now = moment(state.now())
    transaction = state.get("transaction", refund["transaction"])
    assert transaction is not None
    if transaction["status"] != _LABEL[status]:
        transaction |= {"status": _LABEL[status], "object_updated": now}
        state.put("transaction", transaction["object_id"], transaction)
    if status == "SUCCESS":
        add_item(state, "LABEL_REFUND", transaction, -price_of(state, transaction))
    refund |= {"status": status, "object_updated": now}
    forget(state, "shippo_refund", refund["object_id"])
    if status == "PENDING" and refund["_ends_at"] is not None:
        plan(state, "shippo_refund", refund["object_id"], refund["_ends_at"], "next")
    state.put("shippo_refund", refund["object_id"], refund)
    return refund


def advance_refund(state: State, object_id: str) -> None:
    """Give a refund whose time has come its next status."""
    refund = state.get("shippo_refund", object_id)
    assert refund is not None
    transaction = state.get("transaction", refund["transaction"])
    assert transaction is not None
    status = "PENDING"
    if refund["_ends_at"] is not None and refund["_ends_at"] <= state.now():
        status = _outcome(refund, transaction)
    change_refund(state, refund, status)


def _outcome(refund: dict[str, Any], transaction: dict[str, Any]) -> str:
    """The carrier refunds a label only if it has not seen the parcel."""
    return "ERROR" if refund["_rejected"] or transaction["tracking_status"] != "PRE_TRANSIT" else "SUCCESS"

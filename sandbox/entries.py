"""How an entry of the feed looks to its readers: the few fields of a list, and everything that is known of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from sandbox.feed import KINDS, Entry
from sandbox.ledger import shown_label, shown_mail, shown_tax
from sandbox.shippo.errors import seconds_of
from sandbox.shippo.tracks import NEXT_STATUS
from sandbox.state import State, without_private
from sandbox.stripe.currencies import spelled
from sandbox.stripe.dispute_cases import CLOSED
from sandbox.twilio.api import shown as shown_sms
from sandbox.twilio.delivery import settles_in

Body = dict[str, Any]
PREVIEW_CHARACTERS = 160


def summary(state: State, entry: Entry) -> Body:
    """Return the fields of a list.

    Of every kind: `key`, `place`, `kind`, `id`, `created` (Unix seconds of the sandbox's clock), `orders` (the ids of
    the orders that it belongs to), `settles_in` (seconds until its status changes with its age alone, or None).
    """
    return {
        "key": f"{entry.kind}/{entry.object_id}",
        "place": entry.place,
        "kind": entry.kind,
        "id": entry.object_id,
        "orders": state.values(KINDS[entry.kind], entry.object_id, "order_id"),
        "settles_in": None,
        **_SUMMARIES[entry.kind](state, entry.body),
    }


def detail(state: State, entry: Entry) -> Body:
    """Return {"entry": its summary, "object": all that is stored of it, as its provider shows it}."""
    return {"entry": summary(state, entry), "object": _DETAILS[entry.kind](state, entry.body)}


def _mail(state: State, mail: Body) -> Body:
    shown = shown_mail(mail)
    return {
        "created": mail["created"],
        "to": shown["to"],
        "from": shown["from"],
        "subject": shown["subject"],
        "preview": " ".join((shown["text"] or "")[: 2 * PREVIEW_CHARACTERS].split())[:PREVIEW_CHARACTERS],
        "text": shown["text"] is not None,
        "html": shown["html"] is not None,
        "outcomes": sorted({one["outcome"] for one in mail.get("outcomes", {}).values()} - {"delivered"}),
        "attachments": [one["filename"] for one in mail["request"].get("attachments") or []],
    }


def _sms(state: State, message: Body) -> Body:
    now = state.now()
    shown = shown_sms(message, now)
    return {
        "created": message["created"],
        "to": message["to"],
        "from": message["from"] or message["messaging_service_sid"],
        "text": message["body"],
        "segments": int(message["num_segments"]),
        "status": shown["status"],
        "error_code": shown["error_code"],
        "problem": shown["error_message"],
        "settles_in": settles_in(message, now),
    }


def _label(state: State, transaction: Body) -> Body:
    label = shown_label(state, transaction)
    address = label["address_to"] or {}
    return {
        "created": seconds_of(transaction["object_created"]),
        "to": ", ".join(address[name] for name in ("name", "city", "country") if address.get(name)),
        "carrier": label["carrier"],
        "service": (label["servicelevel"] or {}).get("name"),
        "price": f"${label['amount']}" if label["currency"] == "USD" else f"{label['amount']} {label['currency']}",
        "status": label["status"],
        "tracking_number": label["tracking_number"],
        "tracking_status": label["tracking_status"],
        "next_status": NEXT_STATUS.get(label["tracking_status"] or "") if label["status"] == "SUCCESS" else None,
        "pdf": f"/sandbox/labels/{label['object_id']}.pdf" if label["label_url"] else None,
        "problem": " ".join(message["text"] for message in label["messages"]) or None,
    }


def _charge(state: State, charge: Body) -> Body:
    details = charge["payment_method_details"]
    method = details[details["type"]]
    return {
        "created": charge["created"],
        "amount": _amount(charge["amount"], charge["currency"]),
        "refunded": _amount(charge["amount_refunded"], charge["currency"]) if charge["amount_refunded"] else None,
        "fully_refunded": charge["refunded"],
        "card": f"{method.get('brand', 'bank account')} {method['last4']}",
        "captured": charge["captured"],
        "disputed": charge["disputed"],
        "status": charge["status"],
        "failure": charge["failure_code"] and charge["outcome"]["reason"],
    }


def _refund(state: State, refund: Body) -> Body:
    return {
        "created": refund["created"],
        "amount": _amount(refund["amount"], refund["currency"]),
        "charge": refund["charge"],
        "reason": refund["reason"],
        "failure": refund.get("failure_reason"),
        "status": refund["status"],
    }


def _dispute(state: State, dispute: Body) -> Body:
    booked = dispute["balance_transactions"]
    return {
        "created": dispute["created"],
        "amount": _amount(dispute["amount"], dispute["currency"]),
        "charge": dispute["charge"],
        "reason": dispute["reason"],
        "status": dispute["status"],
        "is_open": dispute["status"] not in CLOSED,
        "is_inquiry": dispute["status"].startswith("warning_"),
        "withdrawn": _amount(-sum(each["net"] for each in booked), dispute["currency"]) if booked else None,
    }


def _warning(state: State, warning: Body) -> Body:
    return {name: warning[name] for name in ("created", "charge", "fraud_type", "actionable")}


def _tax(state: State, transaction: Body) -> Body:
    taxed = [*transaction["_lines"], *([transaction["shipping_cost"]] if transaction["shipping_cost"] else [])]
    tax = sum(each["amount_tax"] for each in taxed)
    added = sum(each["amount_tax"] for each in taxed if each["tax_behavior"] == "exclusive")
    address = transaction["customer_details"]["address"]
    return {
        "created": transaction["created"],
        "amount": _amount(sum(each["amount"] for each in taxed) + added, transaction["currency"]),
        "tax": _amount(tax, transaction["currency"]),
        "type": transaction["type"],
        "reference": transaction["reference"],
        "reverses": (transaction["reversal"] or {}).get("original_transaction"),
        "destination": ", ".join(address[name] for name in ("city", "state", "country") if address[name]),
    }


def _payment(state: State, intent: Body) -> Body:
    failure = intent["last_payment_error"] or {}
    return {
        "created": intent["created"],
        "amount": _amount(intent["amount"], intent["currency"]),
        "status": intent["status"],
        "failure": failure.get("code"),
        "page": f"/sandbox/3ds/{intent['id']}",
    }


def _webhook(state: State, record: Body) -> Body:
    last = record["attempts"][-1] if record["attempts"] else {}
    return {
        **{name: record[name] for name in ("created", "provider", "event", "state", "due", "tries", "deliveries")},
        "last_status": last.get("status"),
        "last_error": last.get("error"),
    }


def _whole_webhook(state: State, record: Body) -> Body:
    """A webhook whose body is JSON is shown as JSON."""
    try:
        body = orjson.loads(record["body"])
    except orjson.JSONDecodeError:
        body = record["body"]
    return {**record, "body": body}


def _amount(amount: int, currency: str) -> str:
    text, sign = spelled(abs(amount), currency), "-" if amount < 0 else ""
    return sign + (text if text.startswith("$") else f"{text} {currency.upper()}")


_SUMMARIES: dict[str, Callable[[State, Body], Body]] = {
    "mail": _mail,
    "sms": _sms,
    "label": _label,
    "charge": _charge,
    "refund": _refund,
    "dispute": _dispute,
    "warning": _warning,
    "tax": _tax,
    "payment": _payment,
    "webhook": _webhook,
}
_DETAILS: dict[str, Callable[[State, Body], Body]] = {
    **dict.fromkeys(KINDS, lambda state, body: without_private(body)),
    "mail": lambda state, mail: shown_mail(mail),
    "sms": lambda state, message: shown_sms(message, state.now()),
    "label": lambda state, transaction: {
        **shown_label(state, transaction),
        "tracking_history": transaction["_history"],
    },
    "tax": lambda state, transaction: shown_tax(transaction),
    "webhook": _whole_webhook,
}

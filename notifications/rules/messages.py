"""The content of mails and text messages to customers, such as those about a paid order."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.contacts import MAX_SMS_LENGTH, MAX_SUBJECT_LENGTH, mail_address_fault, sms_fault
from contracts.currencies import amount_for_people
from contracts.errors import InvalidRequest
from contracts.texts import is_one_line, one_line

LONGEST_KEY = 255

LONGEST_GREETED = 60
# Mail readers recognize a link by one of these characters without a following blank, as in http:, a.b or a@b.
_LINKED = re.compile(r"([.:@])(?=\S)")

# The GSM 03.38 default alphabet fits 160 characters into a message; any other character switches it to UCS-2, with 70.
GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_DOUBLE = frozenset("\f^{}\\[~]|€")


@dataclass(frozen=True)
class Mail:
    """A mail to one person.

    Attributes:
        key: the caller's; the mail carries it, so that a duplicate can be distinguished from another mail.
        to, sender: addresses.
        subject: one line.
        text, html: the body; at least one of them.
        receipt: whether it is about the recipient's own order: a mailbox that marked the shop's mail as spam still
            gets receipts.
    """

    key: str
    to: str
    sender: str
    subject: str
    text: str | None
    html: str | None
    receipt: bool = False


@dataclass(frozen=True)
class Sms:
    """A text message to one number (E.164), under the caller's key."""

    key: str
    number: str
    body: str


def mail(key: Any, to: Any, sender: Any, subject: Any, content: Any, receipt: bool = False) -> Mail:
    """Parse a mail from a caller; `content` is HTML when it begins with "<", else text.

    Raises:
        InvalidRequest: a part of it cannot be mailed; every such part is named.
    """
    errors: dict[str, list[str]] = {}
    _check(errors, "key", _is_key(key), f"must be a text of 1 to {LONGEST_KEY} characters")
    for field, address in (("to_email", to), ("from_email", sender)):
        fault = mail_address_fault(address) if isinstance(address, str) else "must be a text"
        _check(errors, field, fault is None, str(fault))
    line = isinstance(subject, str) and bool(subject.strip()) and len(subject) <= MAX_SUBJECT_LENGTH
    _check(errors, "subject", line and is_one_line(subject), "must be one line of text")
    _check(errors, "content", isinstance(content, str) and bool(content.strip()), "must be text or HTML, not empty")
    if errors:
        raise InvalidRequest("The mail cannot be sent like that.", {"errors": errors})
    is_html = content.lstrip().startswith("<")
    return Mail(
        key=key,
        to=to,
        sender=sender,
        subject=subject,
        text=None if is_html else content,
        html=content if is_html else None,
        receipt=receipt is True,
    )


def sms(key: Any, number: Any, content: Any, countries: Collection[str] = ()) -> Sms:
    """A text message as requested by a caller.

    Args:
        countries: two-letter codes of the countries that may receive texts; empty: every country.

    Raises:
        InvalidRequest: the number is not in E.164 (+ and digits) or may not be texted, or the content is empty or too
            long.
    """
    errors: dict[str, list[str]] = {}
    _check(errors, "key", _is_key(key), f"must be a text of 1 to {LONGEST_KEY} characters")
    fault = sms_fault(number, countries) if isinstance(number, str) else "must be a text"
    _check(errors, "number", fault is None, str(fault))
    fits = isinstance(content, str) and bool(content.strip()) and len(content) <= MAX_SMS_LENGTH
    _check(errors, "content", fits, f"must be a text of 1 to {MAX_SMS_LENGTH} characters")
    if errors:
        raise InvalidRequest("The text message cannot be sent like that.", {"errors": errors})
    return Sms(key=key, number=number, body=content)


def segments(body: str) -> int:
    """Return how many messages a text is sent (and billed) as."""
    if all(character in GSM or character in GSM_DOUBLE for character in body):
        length = len(body) + sum(character in GSM_DOUBLE for character in body)
        return 1 if length <= 160 else -(-length // 153)
    length = len(body.encode("utf-16-be")) // 2
    return 1 if length <= 70 else -(-length // 67)


def order_paid(order: Mapping[str, Any], label: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the template variables of a paid order, with every amount formatted.

    Args:
        order: the public order object.
        label: ``{"label_url", "carrier", "tracking_number", "labels": [{"tracking_number"}]}``, as
            `ShippingService.buy_label` answers; None while none is bought.

    Returns:
        ``{"order_id", "name", "lines": [{"description", "quantity", "unit", "amount"}], "extras": [{"description",
        "amount"}], "total", "address": [{"part", "text"}], "method", "status_url", "label_url", "carrier",
        "tracking_numbers"}``; "method" is None when nothing is sent

    Raises:
        InvalidRequest: `order` is not an order.
    """
    try:
        return _variables(order, label or {})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        errors = {"order": [f"is not an order: {type(error).__name__} {error}"]}
        raise InvalidRequest("This is not an order of the shop.", {"errors": errors}) from error


def _variables(order: Mapping[str, Any], label: Mapping[str, Any]) -> dict[str, Any]:
    currency = order["currency"]
    shipping = order.get("shipping") or {}
    lines, extras, method = [], [], None
    # An order has the first number alone, and so has a label that a cart of the previous release sends.
    numbers = [each["tracking_number"] for each in label.get("labels") or ()]
    first = label.get("tracking_number") or shipping.get("tracking_number")
    for item in order["items"]:
        if item["type"] == "sku":
            lines.append(_line(item, currency))
        else:
            extras.append(
                {"description": one_line(item["description"]), "amount": amount_for_people(item["amount"], currency)}
            )
            if item["type"] == "shipping":
                method = item["description"]
    return {
        "order_id": order["id"],
        "name": _greeted(shipping.get("name") or ""),
        "lines": lines,
        "extras": extras,
        "total": amount_for_people(order["amount"], currency),
        "address": _address_lines(shipping),
        "method": method,
        "status_url": _web_url(order.get("status_url")),
        "label_url": _web_url(label.get("label_url") or order.get("label_url")),
        "carrier": label.get("carrier") or shipping.get("carrier"),
        "tracking_numbers": [each for each in numbers or [first] if each],
    }


def _web_url(url: Any) -> str | None:
    """Return a URL that a person follows; None for anything but a web URL."""
    return url if isinstance(url, str) and url.startswith(("https://", "http://")) else None


def order_paid_subject(order: Mapping[str, Any]) -> str:
    """Return the subject of the mail about a paid order."""
    return f"Your order {order['id']} is paid"


def order_paid_sms(order: Mapping[str, Any]) -> str:
    """Return the text about a paid order. It contains nothing that the shopper typed, because the number may be another
    person's."""
    variables = order_paid(order, None)
    paid = f"Your order {variables['order_id']} is paid: {variables['total']}."
    numbers = variables["tracking_numbers"]
    tracked = f" Tracking: {variables['carrier'] or ''} {numbers[0]}." if numbers else ""
    bodies = [" ".join(body.split()) for body in (paid + tracked, paid)]
    return next((body for body in bodies if segments(body) == 1), paid)


def recipient(order: Mapping[str, Any], part: str) -> Any:
    """Return the recipient of messages about an order: its "email" or its "phone".

    Raises:
        InvalidRequest: the order has none.
    """
    value = order.get(part) or (order.get("shipping") or {}).get(part)
    if not value:
        raise InvalidRequest(f"The order has no {part}.", {"errors": {part: ["required field"]}})
    return value


def _line(item: Mapping[str, Any], currency: str) -> dict[str, Any]:
    quantity = item.get("quantity") or 1
    return {
        "description": one_line(item["description"]),
        "quantity": quantity,
        # The order's line has the total; the unit price is shown only when it divides evenly.
        "unit": amount_for_people(item["amount"] // quantity, currency) if item["amount"] % quantity == 0 else None,
        "amount": amount_for_people(item["amount"], currency),
    }


def _address_lines(shipping: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the address. Each line is labelled with the shop's own word, so that none can pass for a sentence of the
    shop's."""
    address = shipping.get("address") or {}
    region = " ".join(filter(None, (address.get("state"), address.get("postal_code"))))
    parts = (
        ("Name", shipping.get("name")),
        ("Street", address.get("line1")),
        ("Street", address.get("line2")),
        ("City", ", ".join(filter(None, (address.get("city"), region)))),
        ("Country", address.get("country")),
    )
    return [{"part": part, "text": _unlinked(text)} for part, text in parts if text]


def _greeted(name: str) -> str:
    """Return the name for the mail's greeting; "" for one that is too long for a name, or looks like a link."""
    name = one_line(name)
    return name if len(name) <= LONGEST_GREETED and _unlinked(name) == name else ""


def _unlinked(text: str) -> str:
    """Return `text` on one line, without anything that a mail reader turns into a link."""
    return _LINKED.sub(r"\1 ", one_line(text))


def _is_key(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_KEY


def _check(errors: dict[str, list[str]], field: str, good: bool, message: str) -> None:
    if not good:
        errors[field] = [message]

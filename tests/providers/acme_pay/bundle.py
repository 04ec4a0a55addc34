"""AcmePay as a bundle: a payment provider that the product does not know, for
`PAYMENT_PROVIDER=tests.providers.acme_pay.bundle:AcmePay`.

It is reached at `ACMEPAY_URL`, and signs its webhooks with `ACMEPAY_SECRET`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import requests

from cart.rules.payments import (
    ACTION,
    CALLED_OFF,
    CANCELED,
    OPEN,
    REPLAYED,
    SUCCEEDED,
    OrderRefund,
    Payment,
    PaymentNews,
)
from cart.rules.reconcile import Listed, Refunded
from chassis.clock import now
from chassis.documents import is_id, read_document
from chassis.providers.guard import never_sent
from chassis.providers.http_session import ProviderSession
from chassis.records import SetAside, read_one
from chassis.settings import Settings
from chassis.work.webhooks import is_current, signature_in, unsigned
from contracts.errors import (
    InvalidRequest,
    OutcomeUnknown,
    PaymentDeclined,
    ProviderFailure,
    Refused,
    ShopError,
    Unavailable,
)
from contracts.webhooks import Event, Handling

KEY_HEADER, REPLAYED_HEADER, SIGNATURE_HEADER = "Acme-Key", "Acme-Replayed", "Acme-Signature"
PAYMENT_CHANGED, REFUND_CHANGED = "acmepay.payment", "acmepay.refund"
# Acme's word for each state of a payment, and the shop's.
STATES = {"new": OPEN, "asking": ACTION, "paid": SUCCEEDED, "void": CANCELED}
MISSING = "missing"
# The most keys and values of an event, which has seven.
MAX_VALUES = 100

Value = TypeVar("Value")


def sign(secret: str, body: bytes, at: str) -> str:
    """Return the header ``Acme-Signature`` of a body that is sent at that time (Unix seconds)."""
    return f"{at} {hmac.new(secret.encode(), at.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


class AcmePay:
    """AcmePay as an implementation of the port `cart.rules.payments.PaymentProvider`."""

    def __init__(self, settings: Settings) -> None:
        session = ProviderSession(settings.provider_connect_timeout, settings.provider_timeout, "AcmePay")
        api = _Api(os.environ["ACMEPAY_URL"], session)
        self.payments, self.lists = AcmePayments(api), AcmePayLists(api)

    def webhooks(self, news: PaymentNews) -> AcmePayWebhooks:
        """See the port."""
        return AcmePayWebhooks(os.environ["ACMEPAY_SECRET"], news)


class _Api:
    """AcmePay's HTTP API."""

    def __init__(self, url: str, session: ProviderSession) -> None:
        self._url = url
        self._session = session

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def post(self, path: str, body: Mapping[str, Any], key: str | None = None) -> Any:
        return self._ask("POST", path, json=body, headers={KEY_HEADER: key} if key else {})

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = self._session.request(method, self._url + path, **options)
            if answer.ok:
                return answer.json()
        except (requests.RequestException, ValueError) as error:
            if never_sent(error):
                raise Unavailable("AcmePay cannot be reached.", {"retry_after": 2}) from error
            raise OutcomeUnknown("AcmePay did not answer.", {"retry_after": 2}) from error
        raise _failure(answer)


class AcmePayments:
    """The `Payments` port over AcmePay."""

    live = False

    def __init__(self, api: _Api) -> None:
        self._api = api

    def open(self, order_id: str, amount: int, currency: str, email: str, key: str) -> Payment:
        asked = {"order": order_id, "amount": amount, "currency": currency, "email": email}
        return _read(_payment, self._api.post("/payments", asked, key))

    def method(self, card: str, key: str) -> str:
        return card  # Acme checks a card when it takes the money

    def confirm(self, payment_id: str, method: str, key: str) -> Payment:
        return _read(_payment, self._api.post(f"/payments/{payment_id}/take", {"card": method}, key))

    def find(self, payment_id: str) -> Payment:
        return _read(_payment, self._api.get(f"/payments/{payment_id}"))

    def cancel(self, payment_id: str) -> Payment:
        try:
            return _read(_payment, self._api.post(f"/payments/{payment_id}/void", {}))
        except Refused:
            return self.find(payment_id)

    def refund(self, payment_id: str, amount: int, refund_id: str, order_id: str, key: str) -> OrderRefund:
        asked = {"amount": amount, "reference": refund_id}
        return _read(_refund, self._api.post(f"/payments/{payment_id}/refunds", asked, key))

    def refunds(self, payment_id: str) -> list[OrderRefund]:
        return [_read(_refund, each) for each in self._api.get(f"/payments/{payment_id}/refunds")]


class AcmePayLists:
    """AcmePay's records as `cart.reconcile.audit.Lists`."""

    def __init__(self, api: _Api) -> None:
        self._api = api

    def payments(self, after: str | None, since: float) -> tuple[list[Listed | SetAside], str | None]:
        return self._page("/payments", after, since, _listed)

    def refunds(self, after: str | None, since: float) -> tuple[list[Refunded | SetAside], str | None]:
        return self._page("/refunds", after, since, _refunded)

    def payment(self, payment_id: str) -> Listed | SetAside | None:
        return self._one(f"/payments/{payment_id}", _listed)

    def refund(self, refund_id: str) -> Refunded | SetAside | None:
        return self._one(f"/refunds/{refund_id}", _refunded)

    def _page(self, path: str, after: str | None, since: float, read: Callable[[Any], Value]) -> tuple[Any, str | None]:
        page = self._api.get(f"{path}?since={since}&after={after or ''}")
        return [read_one("record at AcmePay", each, read) for each in page["items"]], page["next"]

    def _one(self, path: str, read: Callable[[Any], Value]) -> Value | SetAside | None:
        try:
            return read_one("record at AcmePay", self._api.get(path), read)
        except Refused as refused:
            if refused.facts.get("code") == MISSING:
                return None
            raise


class AcmePayWebhooks:
    """AcmePay's webhooks: each names a payment, whose state is then requested."""

    kinds = (PAYMENT_CHANGED, REFUND_CHANGED)

    def __init__(self, secret: str, news: PaymentNews) -> None:
        self._secret = secret
        self._news = news

    def verify(self, raw: bytes, headers: Mapping[str, str]) -> None:
        signature = signature_in(headers, SIGNATURE_HEADER)
        at = signature.partition(" ")[0]
        if not hmac.compare_digest(sign(self._secret, raw, at).encode(), signature.encode()):
            raise unsigned(SIGNATURE_HEADER, "is not AcmePay's")
        if not is_current(float(at), now()):  # AcmePay has signed it, so it is a number
            raise unsigned(SIGNATURE_HEADER, "is too old")

    def parse(self, raw: bytes) -> list[Event]:
        try:
            event = read_document(raw, MAX_VALUES)
            body = {"payment": event["payment"], "order": event["order"]}
            ids, kind = (event["id"], event["kind"], body["payment"]), event["kind"]
        except (ValueError, KeyError, TypeError):
            raise InvalidRequest("This is no event of AcmePay's.") from None
        if not all(map(is_id, ids)) or not (body["order"] is None or is_id(body["order"])):
            raise InvalidRequest("This is no event of AcmePay's.")
        handling = Handling.LATER if kind in self.kinds else Handling.NEVER
        return [Event(f"acmepay:{event['id']}", kind, body, handling)]

    def handle(self, kind: str, body: dict[str, Any]) -> None:
        if kind == PAYMENT_CHANGED:
            self._news.payment_changed(body["payment"], body["order"])
        else:
            self._news.refunds_changed(body["payment"])


def _failure(answer: requests.Response) -> ShopError:
    """The meaning of an answer other than success."""
    try:
        said = answer.json()
        code, detail = said["code"], said["detail"]
    except (ValueError, KeyError, TypeError):
        code, detail = None, "AcmePay's answer cannot be read."
    match answer.status_code:
        case 402:
            return PaymentDeclined(detail, {"code": "card_declined", "decline_code": code})
        case 404 | 422:
            return Refused(detail, {"code": code})
        case 409:
            return Refused(detail, {"code": code, CALLED_OFF: True})
        case 503:
            return Unavailable(detail, {"retry_after": 2})
        case status if status >= 500:
            kept = REPLAYED_HEADER in answer.headers
            return OutcomeUnknown(detail, {"retry_after": 2, REPLAYED: kept})
    return ProviderFailure(detail)


def _read(read: Callable[[Any], Value], answer: Any) -> Value:
    try:
        return read(answer)
    except (KeyError, TypeError, ValueError) as error:
        raise OutcomeUnknown("AcmePay's answer cannot be read.") from error


def _payment(found: Mapping[str, Any]) -> Payment:
    return Payment(
        found["id"],
        STATES[found["status"]],
        found["amount"],
        charge=found["receipt"],
        action=found["challenge"] if found["status"] == "asking" else None,
        decline=found["refusal"],
    )


def _refund(found: Mapping[str, Any]) -> OrderRefund:
    failed = found["status"] == "failed"
    error = "AcmePay says: failed." if failed else None
    return OrderRefund(found["id"], found["amount"], found["made"], found["reference"], failed, error)


def _listed(found: Mapping[str, Any]) -> Listed:
    return Listed(
        id=found["id"],
        state=STATES[found["status"]],
        amount=found["amount"],
        currency=found["currency"],
        order_id=found["order"],
        refunded=found["refunded"],
        created=found["made"],
    )


def _refunded(found: Mapping[str, Any]) -> Refunded:
    state = "failed" if found["status"] == "failed" else "succeeded"
    return Refunded(found["id"], found["payment"], found["amount"], state, created=found["made"])

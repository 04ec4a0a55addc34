"""Acme as a bundle: a carrier that the product does not know, for `CARRIERS=tests.providers.acme_carrier.bundle:Acme`.

It is reached at `ACME_URL`, and signs its webhooks with `ACME_SECRET`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from chassis.providers.failures import calling
from chassis.providers.http_session import ProviderSession
from chassis.settings import Settings
from chassis.work.webhooks import signature_in, unsigned
from contracts.currencies import decimal_text
from contracts.errors import InvalidRequest, NotFound, OutcomeUnknown, ProviderFailure, Refused
from contracts.webhooks import Event, Handling
from shipping.rules.carriers import Label, ParcelNews, Quote
from shipping.rules.reconcile import REFUNDED, SOLD, Rate, Sold

HEADER = "Acme-Signature"
MOVED, LABEL_CHANGED = "acme.moved", "acme.label_changed"
# The fields of a rate that the shop shows, and that Acme has nothing to say about.
UNKNOWN_FIELDS = (
    *("arrives_by", "zone", "object_owner", "provider_image_200", "provider_image_75", "currency_local"),
    *("amount_local", "duration_terms", "object_created", "carrier_account"),
)


def sign(secret: str, body: bytes) -> str:
    """Return the header ``Acme-Signature``."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Acme:
    """Acme as an implementation of the ports `shipping.rules.carriers.Carrier` and `Carriers`, and its lists."""

    def __init__(self, settings: Settings) -> None:
        self.carriers = self.lists = self
        self.longest_call = settings.provider_connect_timeout + settings.provider_timeout
        self.longest_answer = settings.provider_timeout
        self._url = os.environ["ACME_URL"]
        self._http = ProviderSession(settings.provider_connect_timeout, settings.provider_timeout, "Acme")

    def webhooks(self, parcels: ParcelNews) -> AcmeWebhooks:
        return AcmeWebhooks(os.environ["ACME_SECRET"], parcels)

    def quote(
        self,
        address: Mapping[str, str | None],
        parcels: Sequence[Mapping[str, str]],
        contents: Sequence[Mapping[str, Any]],
        reference: str,
        currency: str,
    ) -> Quote:
        asked = {"to": dict(address), "parcels": list(parcels), "reference": reference}
        shipment = self._ask("POST", "/shipments", asked)
        return Quote(shipment["id"], [_rate(each) for each in shipment["rates"]], [])

    def rates(self, shipment_id: str, currency: str) -> list[dict[str, Any]]:
        return [_rate(each) for each in self._ask("GET", f"/shipments/{shipment_id}")["rates"]]

    def buy(self, rate_id: str, reference: str) -> Label:
        asked = {"rate": rate_id, "reference": reference}
        return _label(self._ask("POST", "/labels", asked, doubt="the label was bought"))

    def bought(self, rate_id: str) -> Label | None:
        found = self._ask("GET", f"/labels?rate={rate_id}")
        return _label(found[0]) if found else None

    def track(self, carrier: str, tracking_number: str, transaction_id: str) -> dict[str, Any]:
        steps: list[dict[str, Any]] = self._ask("GET", f"/tracks/{tracking_number}")
        return {"tracking_status": steps[-1] if steps else None, "tracking_history": steps}

    def refund_status(self, transaction_id: str) -> str | None:
        return "refunded" if self._ask("GET", f"/labels/{transaction_id}")["refunded"] else None

    def refund(self, transaction_id: str) -> str:
        self._ask("POST", f"/labels/{transaction_id}/refund", {})
        return "refunded"

    def sold(self, number: int, since: float) -> tuple[list[Any], int | None]:
        return [_sold(each) for each in self._ask("GET", "/labels") if each["bought"] >= since], None

    def one(self, transaction_id: str) -> Sold | None:
        try:
            return _sold(self._ask("GET", f"/labels/{transaction_id}"))
        except NotFound:
            return None

    def rate(self, rate_id: str) -> Rate | None:
        return Rate(rate_id.partition("-")[0], "Acme")

    def _ask(self, method: str, path: str, body: Any = None, doubt: str = "") -> Any:
        with calling("Acme", path, doubt):
            answer = self._http.request(method, self._url + path, json=body)
            if answer.status_code == 404:
                raise NotFound("Acme does not know this.")
            if answer.status_code == 422:
                raise Refused("Acme refuses this.")
            if answer.status_code >= 500 and doubt:
                raise OutcomeUnknown(f"Acme did not say whether {doubt}.")
            if answer.status_code >= 400:
                raise ProviderFailure(f"Acme answered with status {answer.status_code}.")
            return answer.json()


class AcmeWebhooks:
    """Acme's webhooks."""

    kinds = (MOVED, LABEL_CHANGED)

    def __init__(self, secret: str, parcels: ParcelNews) -> None:
        self._secret = secret
        self._parcels = parcels

    def verify(self, raw: bytes, headers: Mapping[str, str]) -> None:
        if not hmac.compare_digest(sign(self._secret, raw).encode(), signature_in(headers, HEADER).encode()):
            raise unsigned(HEADER, "is not Acme's")

    def parse(self, raw: bytes) -> list[Event]:
        try:
            event = orjson.loads(raw)
            handling = {MOVED: Handling.AT_ONCE, LABEL_CHANGED: Handling.LATER}.get(event["kind"], Handling.NEVER)
            return [Event(f"acme:{event['id']}", event["kind"], event["body"], handling)]
        except (ValueError, KeyError, TypeError):
            raise InvalidRequest("This is no event of Acme's.") from None

    def handle(self, kind: str, body: dict[str, Any]) -> None:
        if kind == MOVED:
            self._parcels.record_status(body["number"], {"tracking_status": body["step"]})
        else:
            self._parcels.label_changed(body["label"])


def _rate(rate: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **dict.fromkeys(UNKNOWN_FIELDS),
        "object_id": rate["id"],
        "shipment": rate["shipment"],
        "provider": "Acme",
        "servicelevel": {"name": rate["service"], "token": rate["service"].lower(), "terms": None},
        "amount": decimal_text(rate["cents"], "usd"),
        "currency": "USD",
        "estimated_days": rate["days"],
        "attributes": [],
        "messages": [],
        "test": True,
    }


def _label(label: Mapping[str, Any]) -> Label:
    return Label(label["id"], label["url"], label["number"])


def _sold(label: Mapping[str, Any]) -> Sold:
    state = REFUNDED if label["refunded"] else SOLD
    return Sold(label["id"], label["rate"], label["reference"], state, label["number"], label["url"], label["bought"])

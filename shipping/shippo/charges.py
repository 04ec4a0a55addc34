"""Shippo's invoice items: what labels cost in the end. Its SDK has no call for them, and it sends no event.

https://docs.goshippo.com/shippoinvoices/invoices/operation/ListInvoiceItemsTemplate (beta); its list can be filtered by
date: https://docs.goshippo.com/docs/api_concepts/filtering
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP
from typing import Any

from chassis.logs import log
from chassis.providers.failures import calling
from chassis.providers.http_session import ProviderSession
from chassis.records import Unreadable, read_each
from contracts.currencies import parse_amount
from contracts.errors import ProviderFailure, Unavailable
from shipping.rules.charges import Charge

BASE = "https://api.goshippo.com"
# A week of a shop has fewer items; the limit is for a list that never ends.
PAGE, MAX_PAGES = 100, 200


class ShippoCharges:
    """Reads them.

    Args:
        session: sends the requests.
        key: the API key.
        base: the URL to use instead of Shippo's own, or None.
        version: of the API.
    """

    def __init__(self, session: ProviderSession, key: str, base: str | None, version: str) -> None:
        self._session = session
        self._url = f"{base or BASE}/invoice-items"
        self._headers = {"Authorization": f"ShippoToken {key}", "SHIPPO-API-VERSION": version}

    def between(self, since: float, until: float) -> list[Charge]:
        """Return what was charged for labels between two times (Unix seconds). Items that cannot be read, or are for no
        label, are left out. Raises Unavailable, ProviderFailure."""
        found: list[Charge] = []
        for number in range(1, MAX_PAGES + 1):
            query = {
                "page": str(number),
                "results": str(PAGE),
                "object_created_gte": _moment(since),
                "object_created_lt": _moment(until),
            }
            page = self._page(query)
            items = [each for each in page["results"] if each.get("transaction")]
            found += read_each("invoice item of Shippo's", items, _charge)[0]
            if not page.get("next"):
                break
        return found

    def _page(self, query: dict[str, str]) -> Any:
        with calling("Shippo", "invoice-items"):
            answer = self._session.get(self._url, params=query, headers=self._headers)
            if answer.status_code == 200:
                page = answer.json()
                if not all(isinstance(each, dict) for each in page["results"]):
                    raise ValueError("an invoice item is no object")
                return page
        status = answer.status_code
        log.warning("shippo fails", asked="invoice-items", status=status)
        if status == 429 or status >= 500:
            raise Unavailable("Shippo is not available.", {"retry_after": 60})
        raise ProviderFailure(f"Shippo answered with status {status}.")


def _charge(item: dict[str, Any]) -> Charge:
    transaction, currency = item["transaction"], str(item["currency"]).upper()
    if isinstance(transaction, dict):
        transaction = transaction.get("object_id")
    if not transaction or not item.get("object_id"):
        raise Unreadable("it has no id, or no transaction")
    created = datetime.fromisoformat(str(item["object_created"]).replace("Z", "+00:00"))
    return Charge(
        id=str(item["object_id"]),
        transaction_id=str(transaction),
        kind=str(item["type"]),
        amount=parse_amount(str(item["amount"]), currency, rounding=ROUND_HALF_UP),
        currency=currency,
        created=(created if created.tzinfo else created.replace(tzinfo=UTC)).timestamp(),
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

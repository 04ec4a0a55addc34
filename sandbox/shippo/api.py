"""Shippo in the sandbox: keys, dispatch, pages, and the small resources; the large ones have their own modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import orjson

from sandbox import settings
from sandbox.provider import Answer, Call, Provider, Routes, json_answer
from sandbox.shippo.addresses import read_address, validated
from sandbox.shippo.carriers import Carrier, carriers_of, shown_account
from sandbox.shippo.customs import read_declaration
from sandbox.shippo.errors import REQUIRED, ShippoFailure, check_known, invalid, not_found
from sandbox.shippo.invoices import FILTERS
from sandbox.shippo.options import ShippoOptions
from sandbox.shippo.refunds import create_refund
from sandbox.shippo.shipments import create_shipment, rates_of, read_parcel, shown_shipment
from sandbox.shippo.tracks import track_of
from sandbox.shippo.transactions import create_transaction
from sandbox.state import State, without_private

_PAGE = frozenset(("page", "results", "page_token"))
_CREATED = frozenset(f"object_created_{bound}" for bound in ("gt", "gte", "lt", "lte"))


class Shippo(Provider):
    """Shippo's API, version 2018-02-08: addresses, accounts, parcels, customs, shipments, rates, labels, tracks."""

    name = "shippo"

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._routes = Routes[Callable[..., Answer]]()
        for method, path, handler in (
            ("POST", "/addresses", self._create_address),
            ("GET", "/addresses", self._lister("address")),
            ("GET", "/addresses/{object_id}", self._getter("address")),
            ("GET", "/addresses/{object_id}/validate", self._validate_address),
            ("GET", "/carrier_accounts", self._list_accounts),
            ("GET", "/carrier_accounts/{object_id}", self._account),
            ("GET", "/invoice-items", self._list_invoice_items),
            ("POST", "/parcels", self._create_parcel),
            ("GET", "/parcels", self._lister("parcel")),
            ("GET", "/parcels/{object_id}", self._getter("parcel")),
            ("POST", "/customs/declarations", self._create_declaration),
            ("GET", "/customs/declarations", self._lister("customs_declaration")),
            ("GET", "/customs/declarations/{object_id}", self._getter("customs_declaration")),
            ("POST", "/shipments", self._create_shipment),
            ("GET", "/shipments", self._lister("shipment")),
            ("GET", "/shipments/{object_id}", self._getter("shipment")),
            ("GET", "/shipments/{object_id}/rates", self._rates),
            ("GET", "/shipments/{object_id}/rates/{currency}", self._rates),
            ("GET", "/rates/{object_id}", self._getter("rate")),
            ("POST", "/transactions", self._create_transaction),
            ("GET", "/transactions", self._list_transactions),
            ("GET", "/transactions/{object_id}", self._getter("transaction")),
            ("POST", "/tracks", self._create_track),
            ("GET", "/tracks/{carrier}/{number}", self._get_track),
            ("POST", "/refunds", self._create_refund),
            ("GET", "/refunds", self._lister("shippo_refund")),
            ("GET", "/refunds/{object_id}", self._getter("shippo_refund")),
        ):
            self._routes.add(method, path, handler)

    def routes(self) -> list[tuple[str, str]]:
        return self._routes.table()

    def refuse(self, call: Call) -> Answer | None:
        scheme, _, key = call.headers.get("Authorization", "").partition(" ")
        if not key:
            return json_answer(401, {"detail": "Authentication credentials were not provided."})
        if scheme.lower() != "shippotoken" or key.strip() != settings.SHIPPO_KEY:
            return json_answer(401, {"detail": "Invalid token"})
        return None

    def answer(self, call: Call) -> Answer:
        # The SDK requests one path with a trailing slash, and Shippo accepts both forms.
        handler, arguments, methods = self._routes.find(call.method, call.path.rstrip("/") or "/")
        try:
            if handler is None:
                detail = f'Method "{call.method}" not allowed.' if methods else "Not found."
                raise ShippoFailure(405 if methods else 404, {"detail": detail})
            with self.state.transaction():
                answer: Answer = handler(call, **arguments)
        except ShippoFailure as failure:
            return json_answer(failure.status, failure.body)
        return answer

    def failure(self, status: int, message: str) -> Answer:
        return json_answer(status, {"detail": message})

    def _shown(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        if kind == "shipment":
            return shown_shipment(body, self.state.now())
        return without_private(body)

    def _getter(self, kind: str) -> Callable[..., Answer]:
        def get(call: Call, object_id: str) -> Answer:
            body = self.state.get(kind, object_id)
            if body is None:
                raise not_found()
            return json_answer(200, self._shown(kind, body))

        return get

    def _lister(self, kind: str) -> Callable[..., Answer]:
        def list_all(call: Call) -> Answer:
            query = _query(call, _PAGE | _CREATED)
            bounds = {name: value for name, value in query.items() if name in _CREATED}
            found = [body for body in self.state.find(kind) if _within(body, bounds)]
            return _page(call, [self._shown(kind, body) for body in _cut(call, found)], len(found))

        return list_all

    def _create_address(self, call: Call) -> Answer:
        address = read_address(self.state, _body(call), self.state.now())
        self.state.put("address", address["object_id"], address)
        return json_answer(201, address)

    def _validate_address(self, call: Call, object_id: str) -> Answer:
        address = self.state.get("address", object_id)
        if address is None:
            raise not_found()
        address = validated(address, self.state.now())
        self.state.put("address", address["object_id"], address)
        return json_answer(200, address)

    def _list_accounts(self, call: Call) -> Answer:
        query = _query(call, _PAGE | {"service_levels", "carrier", "account_id"})
        accounts = [shown_account(each, query.get("service_levels") == "true") for each in self._carriers()]
        found = [
            each
            for each in accounts
            if all(query.get(name, each[name]) == each[name] for name in ("carrier", "account_id"))
        ]
        return _page(call, _cut(call, found), len(found))

    def _account(self, call: Call, object_id: str) -> Answer:
        account = next((each for each in self._carriers() if each.account == object_id), None)
        if account is None:
            raise not_found()
        return json_answer(200, shown_account(account))

    def _carriers(self) -> list[Carrier]:
        return carriers_of(ShippoOptions.of(self.state))

    def _create_parcel(self, call: Call) -> Answer:
        parcel = read_parcel(self.state, _body(call), self.state.now())
        self.state.put("parcel", parcel["object_id"], parcel)
        return json_answer(201, parcel)

    def _create_declaration(self, call: Call) -> Answer:
        return json_answer(201, without_private(read_declaration(self.state, _body(call))))

    def _create_shipment(self, call: Call) -> Answer:
        return json_answer(201, create_shipment(self.state, _body(call)))

    def _rates(self, call: Call, object_id: str, currency: str | None = None) -> Answer:
        _query(call, _PAGE)
        rates = rates_of(self.state, object_id, currency)
        return _page(call, _cut(call, rates), len(rates))

    def _create_transaction(self, call: Call) -> Answer:
        return json_answer(201, create_transaction(self.state, _body(call), call.public_url))

    def _list_transactions(self, call: Call) -> Answer:
        query = _query(call, _PAGE | {"rate", "object_status", "tracking_status"})
        names = {"rate": "rate", "object_status": "status", "tracking_status": "tracking_status"}
        where = {facet: query[name] for name, facet in names.items() if query.get(name)}
        found = self.state.find("transaction", where)
        return _page(call, [self._shown("transaction", body) for body in _cut(call, found)], len(found))

    def _list_invoice_items(self, call: Call) -> Answer:
        query = _query(call, _PAGE | _CREATED | FILTERS.keys())
        bounds = {name: value for name, value in query.items() if name in _CREATED}
        where = {FILTERS[name]: value for name, value in query.items() if name in FILTERS}
        found = [body for body in self.state.find("invoice_item", where) if _within(body, bounds)]
        return _page(call, [without_private(body) for body in _cut(call, found)], len(found))

    def _create_track(self, call: Call) -> Answer:
        given = check_known(_body(call), frozenset(("carrier", "tracking_number", "metadata")))
        missing = {name: [REQUIRED] for name in ("carrier", "tracking_number") if not given.get(name)}
        if missing:
            raise invalid(missing)
        track = track_of(self.state, str(given["carrier"]), str(given["tracking_number"]), given.get("metadata"))
        return json_answer(200, track)

    def _get_track(self, call: Call, carrier: str, number: str) -> Answer:
        return json_answer(200, track_of(self.state, carrier, number))

    def _create_refund(self, call: Call) -> Answer:
        return json_answer(201, without_private(create_refund(self.state, _body(call))))


def _body(call: Call) -> Any:
    try:
        return orjson.loads(call.body)
    except orjson.JSONDecodeError as error:
        raise ShippoFailure(400, {"detail": f"JSON parse error - {error}"}) from None


def _query(call: Call, known: frozenset[str]) -> dict[str, str]:
    query = dict(call.query_pairs())
    for name in ("page", "results"):
        if name in query and (not query[name].isdigit() or int(query[name]) < 1):
            raise invalid({name: ["A valid integer is required."]})
    return check_known(query, known)


def _numbers(call: Call) -> tuple[int, int]:
    query = dict(call.query_pairs())
    return int(query.get("page", 1)), min(int(query.get("results", 25)), 100)


def _cut(call: Call, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    page, results = _numbers(call)
    if page > 1 and (page - 1) * results >= len(found):
        raise ShippoFailure(404, {"detail": "Invalid page."})
    return found[(page - 1) * results : page * results]


def _page(call: Call, results: list[dict[str, Any]], total: int) -> Answer:
    page, size = _numbers(call)
    others = [pair for pair in call.query_pairs() if pair[0] not in ("page", "results")]

    def address(number: int) -> str:
        return f"{call.base}{call.path}?{urlencode([*others, ('page', number), ('results', size)])}"

    body = {
        "next": address(page + 1) if page * size < total else None,
        "previous": address(page - 1) if page > 1 else None,
        "results": results,
    }
    return json_answer(200, body)


def _within(body: dict[str, Any], bounds: dict[str, str]) -> bool:
    created = body["object_created"]
    holds = {"gt": created.__gt__, "gte": created.__ge__, "lt": created.__lt__, "lte": created.__le__}
    return all(holds[name.removeprefix("object_created_")](value) for name, value in bounds.items())

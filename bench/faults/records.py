"""The final records: of the shop (its API and, read-only, its databases) and of the sandbox's ledger."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
import sqlalchemy as sa

from chassis.db.engine import url_for
from chassis.rpc import broker_connection
from chassis.rpc.dead_letters import PARKED, parked_queue
from chassis.settings import SANDBOX_KEYS

Row = dict[str, Any]

TIMEOUT = 60.0  # seconds; a page of the ledger is large
PAGE = 100
LEDGER_PAGE = 500
DELIVERIES = "SELECT * FROM tasks WHERE queue = 'deliveries'"
ATTENTION = "SELECT order_id, kind, about FROM attention WHERE ended IS NULL"
REDEMPTIONS = "SELECT order_id, discount FROM redemptions"
SERVICES = ("cart", "products", "shipping", "notifications")
OPERATOR = "operator@example.com"  # gets mails about orders, too
# The bench's application name in PostgreSQL, which distinguishes its own sessions from the shop's.
BENCH = "bench-faults"
HEARERS = ("cart", "shipping", "notifications")  # the services that store providers' events
BROKER_SECONDS = 10.0
_ORDER = re.compile(r"\bor_[A-Za-z0-9]+")


class Databases:
    """The databases of a shop's services, read-only.

    Args:
        database_url: as DATABASE_URL, or None for SQLite files in `var_dir`.
        var_dir: the shop's.
    """

    def __init__(self, database_url: str | None, var_dir: str) -> None:
        self._engines = {service: _reading(service, database_url, var_dir) for service in SERVICES}

    def rows(self, service: str, query: str, **values: Any) -> list[Row]:
        """Return the rows of a SELECT on the tables of `service`."""
        with self._engines[service].connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]

    def close(self) -> None:
        for engine in self._engines.values():
            engine.dispose()


def _reading(service: str, database_url: str | None, var_dir: str) -> sa.Engine:
    url = url_for(service, database_url, var_dir)
    if url.get_backend_name() == "sqlite":
        file = sa.engine.URL.create("sqlite", database=f"file:{url.database}", query={"mode": "ro", "uri": "true"})
        return sa.create_engine(file, connect_args={"timeout": 10.0, "check_same_thread": False})
    options = f"-csearch_path={service} -cdefault_transaction_read_only=on"
    return sa.create_engine(url, connect_args={"options": options, "application_name": BENCH}, pool_size=2)


@dataclass
class Records:
    """All records of the orders of a run.

    Attributes:
        orders: order id -> its public form.
        inner: order id -> its row in the cart's database (``status``, ``cart_id``, ``stock_key``, …; ``tax`` decoded).
        owed: rows of the work that is or was due for the orders, ``answer`` decoded.
        refunds: rows of the money that was or must be refunded.
        holds: rows of the stock reserved and released.
        messages: key -> the notifications service's row of a message.
        left: SKU -> pieces left, for counted ones.
        codes: rows of the discount codes; redemptions: order id -> the id of the code that it has redeemed.
        carts: cart id -> its contents: SKU -> quantity.
        events: providers' events that are not handled (``service``, ``state``, ``kind``, ``tries``, ``error``, and
            ``age``: seconds since it came).
        parked: service -> requests that were parked for an operator.
        attention: the open entries of the operator's list (``order_id``, ``kind``, ``about``).
        disputes, warnings, payouts: charge -> Stripe's disputes, early fraud warnings and refunds of it.
        charges, labels, emails, sms, taxes: order id -> its entries in the sandbox's ledger; under "" those without an
            order. A reversal of a tax transaction has the order of what it reverses.
    """

    orders: dict[str, Row] = field(default_factory=dict)
    inner: dict[str, Row] = field(default_factory=dict)
    owed: list[Row] = field(default_factory=list)
    refunds: list[Row] = field(default_factory=list)
    holds: list[Row] = field(default_factory=list)
    messages: dict[str, Row] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    codes: list[Row] = field(default_factory=list)
    redemptions: dict[str, str] = field(default_factory=dict)
    carts: dict[str, dict[str, int]] = field(default_factory=dict)
    events: list[Row] = field(default_factory=list)
    parked: dict[str, int] = field(default_factory=dict)
    attention: list[Row] = field(default_factory=list)
    disputes: dict[str, list[Row]] = field(default_factory=dict)
    warnings: dict[str, list[Row]] = field(default_factory=dict)
    payouts: dict[str, list[Row]] = field(default_factory=dict)
    charges: dict[str, list[Row]] = field(default_factory=dict)
    labels: dict[str, list[Row]] = field(default_factory=dict)
    emails: dict[str, list[Row]] = field(default_factory=dict)
    sms: dict[str, list[Row]] = field(default_factory=dict)
    taxes: dict[str, list[Row]] = field(default_factory=dict)


def read(url: str, sandbox_url: str, databases: Databases, since: float = 0.0, amqp_uri: str | None = None) -> Records:
    """Read all records; of orders, and of what arrived for them, only those placed since then (Unix seconds). Parked
    requests are read only when a broker is given."""
    others = {row["id"] for row in databases.rows("cart", "SELECT id FROM orders WHERE created < :t", t=since)}
    rows = databases.rows("cart", "SELECT * FROM orders WHERE created >= :t", t=since)
    inner = {row["id"]: {**row, "tax": _decoded(row["tax"])} for row in rows}
    deliveries = databases.rows("cart", DELIVERIES)
    stock = databases.rows("products", "SELECT sku, quantity FROM stock WHERE type = 'finite'")
    records = Records(
        orders={order["id"]: order for order in _orders(url) if order["id"] in inner},
        inner=inner,
        owed=[{**row, "answer": _decoded(row["answer"])} for row in deliveries if row["subject"] in inner],
        refunds=[row for row in databases.rows("cart", "SELECT * FROM refunds") if row["order_id"] in inner],
        holds=databases.rows("products", "SELECT key, state FROM holds WHERE created >= :t", t=int(since)),
        messages={row["key"]: row for row in databases.rows("notifications", "SELECT * FROM messages")},
        left={row["sku"]: row["quantity"] for row in stock},
        codes=databases.rows("cart", "SELECT id, code, max_redemptions, redeemed FROM discounts"),
        redemptions={row["order_id"]: row["discount"] for row in databases.rows("cart", REDEMPTIONS)},
        events=not_done(databases, since),
        parked=parked(amqp_uri, since) if amqp_uri else {},
        attention=[row for row in databases.rows("cart", ATTENTION) if row["order_id"] in inner],
        disputes=_of_charges(sandbox_url, "disputes"),
        warnings=_of_charges(sandbox_url, "radar/early_fraud_warnings"),
        payouts=_of_charges(sandbox_url, "refunds"),
    )
    wanted = {row["cart_id"] for row in inner.values()}
    for row in databases.rows("cart", "SELECT cart_id, sku, quantity FROM cart_items"):
        if row["cart_id"] in wanted:
            records.carts.setdefault(row["cart_id"], {})[row["sku"]] = row["quantity"]
    for kind in ("charges", "labels", "emails", "sms", "taxes"):
        found: dict[str, list[Row]] = defaultdict(list)
        entries = [entry for entry in _ledger(sandbox_url, kind) if OPERATOR not in entry.get("to", ())]
        of_sales = sale_references(entries) if kind == "taxes" else {}
        for entry in entries:
            # An entry without an order is an error: everything is created for an order.
            if (order_id := of_sales[entry["id"]] if of_sales else order_of(kind, entry)) not in others:
                found[order_id].append(entry)
        setattr(records, kind, dict(found))
    return records


def not_done(databases: Databases, since: float = 0.0) -> list[Row]:
    """Return the providers' events since then (Unix seconds) that are not handled."""
    query = """
        SELECT key, state, kind, tries, error, created FROM tasks
        WHERE queue = 'events' AND state <> 'done' AND created >= :t
    """
    now = time.time()
    return [
        {**row, "service": service, "age": now - row["created"]}
        for service in HEARERS
        for row in databases.rows(service, query, t=since)
    ]


def parked(amqp_uri: str, since: float = 0.0) -> dict[str, int]:
    """Return service -> how many of its requests were parked since then (Unix seconds), because it crashed over them
    repeatedly. They stay parked."""
    found = {}
    with broker_connection.connect(amqp_uri, "books", BROKER_SECONDS) as connection:
        connection.release(BROKER_SECONDS)  # per answer: a queue may be long
        for service in SERVICES:
            channel, count = connection.channel(), 0
            while (message := channel.basic_get(parked_queue(service))) is not None:  # requeued at the end
                count += float((message.headers or {})[PARKED]) >= since
            if count:
                found[service] = count
    return found


def labels(sandbox_url: str) -> Iterator[tuple[str, Row]]:
    """Return every label that was bought, and its order's id."""
    return ((order_of("labels", label), label) for label in _ledger(sandbox_url, "labels"))


def order_of(kind: str, entry: Row) -> str:
    """Return the order of a ledger entry; "" when it has none."""
    if kind == "charges":
        return str((entry.get("metadata") or {}).get("order_id") or "")
    if kind == "labels":
        text = f"{entry.get('metadata')} {entry.get('shipment_metadata')}"
    elif kind == "emails":
        text = str(entry.get("subject"))
    else:
        text = str(entry.get("body"))
    found = _ORDER.search(text)
    return found.group() if found else ""


def sale_references(taxes: Iterable[Row]) -> dict[str, str]:
    """Return tax transaction -> the order whose sale it is, or whose sale it reverses; "" when that is not among them.
    Reversals can be reversed."""
    by_id = {entry["id"]: entry for entry in taxes}

    def sale(entry: Row | None) -> str:
        while entry is not None and entry["reversal"]:
            entry = by_id.get(entry["reversal"]["original_transaction"])
        return str(entry["reference"]) if entry is not None else ""

    return {entry_id: sale(entry) for entry_id, entry in by_id.items()}


def taxed(entry: Row) -> tuple[int, int]:
    """Return the amount of a tax transaction with its tax, and the tax, in the smallest unit."""
    parts = [*entry["line_items"], *filter(None, [entry["shipping_cost"]])]
    tax = sum(part["amount_tax"] for part in parts)
    added = sum(part["amount_tax"] for part in parts if part["tax_behavior"] == "exclusive")
    return sum(part["amount"] for part in parts) + added, tax


def _decoded(value: Any) -> Any:
    """SQLite returns JSON as text, PostgreSQL as objects."""
    return json.loads(value) if isinstance(value, str) else value


def _orders(url: str) -> Iterator[Row]:
    """Return every order, from the API's pages."""
    after: dict[str, str] = {}
    with requests.Session() as session:
        while True:
            answer = session.get(f"{url}/api/orders/", params={"limit": str(PAGE), **after}, timeout=TIMEOUT)
            answer.raise_for_status()
            page = answer.json()
            yield from page["data"]
            if not page["has_more"]:
                return
            after = {"starting_after": page["data"][-1]["id"]}


def _ledger(sandbox_url: str, kind: str) -> Iterator[Row]:
    """Return all entries of a kind in the sandbox's ledger, from its pages."""
    seen = 0
    with requests.Session() as session:
        while True:
            wanted = {"kind": kind, "limit": str(LEDGER_PAGE), "offset": str(seen)}
            answer = session.get(f"{sandbox_url}/sandbox/ledger", params=wanted, timeout=TIMEOUT)
            answer.raise_for_status()
            page = answer.json()[kind]
            yield from page
            seen += len(page)
            if len(page) < LEDGER_PAGE:
                return


def _of_charges(sandbox_url: str, what: str) -> dict[str, list[Row]]:
    """Return charge -> its entries in one of Stripe's lists."""
    found: dict[str, list[Row]] = defaultdict(list)
    after: dict[str, str] = {}
    with requests.Session() as session:
        session.auth = (SANDBOX_KEYS["stripe"], "")
        while True:
            wanted = {"limit": str(PAGE), **after}
            answer = session.get(f"{sandbox_url}/stripe/v1/{what}", params=wanted, timeout=TIMEOUT)
            answer.raise_for_status()
            page = answer.json()
            for entry in page["data"]:
                found[entry["charge"]].append(entry)
            if not page["has_more"]:
                return dict(found)
            after = {"starting_after": page["data"][-1]["id"]}

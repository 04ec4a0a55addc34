"""Many callers race: over HTTP against several copies of every service, and in the stores over both databases."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from bench.faults.front import Front
from bench.faults.races import LastPiece, LastRedemption, clicks, one_key
from cart.rules.order import Order
from cart.store.unit_of_work import CartStore
from chassis.db.engine import Database
from contracts.errors import Conflict
from products.rules.catalog import Product
from products.rules.stock import Inventory, lines
from products.store.products import ProductStore
from products.store.tables import holds, stock
from tests.databases import wait_longer
from tests.discounts import made_code, with_code
from tests.orders import made_order
from tests.products import fill, product, variant

COPIES, EACH = 3, 4
ROUNDS = 50
SIZES = 5  # SKUs of one product
FEWER = 20  # rounds of the races that a constraint or a claim decides, not a quantity
BARRIER_TIMEOUT_S = 60.0
Databases = dict[str, Any]


def test_one_key_fifty_times_at_once_is_one_order(front: Front) -> None:
    one_key(front, 50)


def test_twenty_clicks_on_checkout_are_one_order(front: Front) -> None:
    clicks(front, 20)


def test_thirty_pay_for_the_last_piece(front: Front) -> None:
    LastPiece(front, 30).round()


def test_thirty_redeem_the_last_one(front: Front) -> None:
    LastRedemption(front, 30).round()


# The same races in the stores; every copy of a service is a process of its own


def take_the_last(databases: Databases, turn: int, name: str) -> bool:
    """Try to reserve the last piece of this round; return whether it succeeded."""
    try:
        databases["products"].stock.reserve(name, lines([{"parent": f"sku_{turn}", "quantity": 1}]))
    except Conflict:
        return False
    return True


def place_under_one_key(databases: Databases, turn: int, name: str) -> bool:
    """Place an order under this round's key; return whether the store kept this order."""
    kept = databases["cart"].orders.place(order(f"or_{name}"), f"key {turn}")
    return bool(kept.id == f"or_{name}")


def claim_an_order(databases: Databases, turn: int, name: str) -> bool:
    """Try to claim this round's order; return whether it succeeded."""
    return databases["cart"].orders.claim(f"or_{turn}", None, time.time() + 1000) is not None


def redeem_the_last(databases: Databases, turn: int, name: str) -> bool:
    """Try to redeem the last one of this round's code; return whether it succeeded."""
    try:
        databases["cart"].discounts.redeem(with_code(order(f"or_{name}"), discount_id=f"promo_{turn}"))
    except Conflict:
        return False
    return True


RACES = {take_the_last: ROUNDS, redeem_the_last: ROUNDS, place_under_one_key: FEWER, claim_an_order: FEWER}


@pytest.mark.timeout(600)
def test_in_every_round_one_wins(database: Callable[[str], Database]) -> None:
    products, carts = ProductStore(database("products")), CartStore(database("cart"))
    fill(products, *(shirt(first) for first in range(0, ROUNDS, SIZES)))
    for turn in range(ROUNDS):
        carts.discounts.put(made_code(f"promo_{turn}", code=f"C{turn}", max_redemptions=1), 1.0)
    for turn in range(FEWER):
        carts.orders.place(order(f"or_{turn}"), f"placed {turn}")
    urls = {name: database(name).url.render_as_string(hide_password=False) for name in ("products", "cart")}
    found = wins(urls)
    assert found == {run.__name__: [1] * rounds for run, rounds in RACES.items()}
    with products.database.read() as connection:
        held = connection.execute(sa.select(holds.c.key)).scalars().all()
    assert len(held) == ROUNDS
    with products.database.read() as connection:
        left = connection.execute(sa.select(stock.c.quantity)).scalars().all()
    assert left == [0] * ROUNDS
    assert [carts.discounts.find(f"C{turn}").redeemed for turn in range(ROUNDS)] == [1] * ROUNDS
    _, _, placed = carts.orders.page(None, None, 1, None)
    assert placed == 2 * FEWER


def shirt(first: int) -> Product:
    """A product with a SKU for each of `SIZES` rounds, and one piece of each."""
    more = [
        variant(str(turn), pieces=1, place=turn - first, size=str(turn)) for turn in range(first + 1, first + SIZES)
    ]
    return product(first, inventory=Inventory("finite", 1), attributes={"size": str(first)}, more=more)


def wins(urls: dict[str, str]) -> dict[str, list[int]]:
    """Run every race in all copies at once, round after round; return the number of winners of each round."""
    spawn = multiprocessing.get_context("spawn")
    gate, results = spawn.Barrier(COPIES), spawn.Queue()
    copies = [spawn.Process(target=_copy, args=(urls, number, gate, results)) for number in range(COPIES)]
    for copy in copies:
        copy.start()
    try:
        found = [results.get(timeout=4 * BARRIER_TIMEOUT_S) for _ in copies]
    finally:
        for copy in copies:
            copy.join(10)
            copy.kill()
    return {name: [sum(turn) for turn in zip(*(one[name] for one in found), strict=True)] for name in found[0]}


def _copy(urls: dict[str, str], copy: int, gate: Any, results: Any) -> None:
    """One copy of the services, which runs `EACH` threads at once in every round."""
    wait_longer()
    databases: Databases = {
        "products": ProductStore(Database(urls["products"], "products")),
        "cart": CartStore(Database(urls["cart"], "cart")),
    }
    threads = threading.Barrier(EACH)
    counts: dict[str, list[int]] = {run.__name__: [] for run in RACES}
    with ThreadPoolExecutor(EACH) as pool:
        for run, rounds in RACES.items():

            def one(number: int, turn: int, run: Any = run) -> bool:
                threads.wait(BARRIER_TIMEOUT_S)
                return bool(run(databases, turn, f"{turn}-{copy}-{number}"))

            for turn in range(rounds):
                gate.wait(BARRIER_TIMEOUT_S)
                counts[run.__name__].append(sum(pool.map(one, range(EACH), [turn] * EACH, timeout=BARRIER_TIMEOUT_S)))
    results.put(counts)


def order(order_id: str) -> Order:
    return made_order(order_id.removeprefix("or_"))

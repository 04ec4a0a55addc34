"""Slow verbs cannot exceed their share of the calls: the gateway refuses more, and reads continue."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from contracts.errors import Unavailable
from gateway import shares
from gateway.rpc import NAMES
from gateway.shares import ALL, ALL_SLOW, OF_SERVICE, SLOW, SLOW_OF_SERVICE, Shares
from tests.integration.gateway.asking import Running, assert_problem


def take(held: ExitStack, counted: Shares, *calls: tuple[str, str], times: int = 1) -> None:
    for _ in range(times):
        for service, verb in calls:
            held.enter_context(counted.taken(service, verb))


def refused(counted: Shares, service: str, verb: str) -> bool:
    try:
        with counted.taken(service, verb):
            return False
    except Unavailable as error:
        return bool(error.facts["retry_after"] > 0)


def test_slow_verbs_cannot_exceed_their_share() -> None:
    counted = Shares()
    with ExitStack() as held:
        take(held, counted, ("cart", "pay"), times=SLOW_OF_SERVICE)
        assert refused(counted, "cart", "pay")
        assert refused(counted, "cart", "checkout")
        assert not refused(counted, "cart", "items")
        assert not refused(counted, "products", "create")
    assert not refused(counted, "cart", "pay")


def test_slow_verbs_of_all_services_leave_room_for_reading() -> None:
    counted = Shares()
    with ExitStack() as held:
        take(held, counted, ("cart", "pay"), ("notifications", "send_sms"), times=ALL_SLOW // 2)
        assert refused(counted, "products", "create")
        for service in ("products", "cart", "shipping"):
            while not refused(counted, service, "list"):
                take(held, counted, (service, "list"))
        assert counted._all == ALL


def test_unreachable_service_does_not_block_the_others() -> None:
    counted = Shares()
    with ExitStack() as held:
        take(held, counted, ("cart", "items"), times=OF_SERVICE)
        assert refused(counted, "cart", "items")
        assert not refused(counted, "products", "list")


def test_a_call_that_fails_gives_its_share_back() -> None:
    counted = Shares()
    for _ in range(ALL + 1):
        with pytest.raises(ZeroDivisionError), counted.taken("cart", "pay"):
            raise ZeroDivisionError


def test_slow_verbs_never_have_all_shares() -> None:
    assert ALL_SLOW < ALL
    assert SLOW_OF_SERVICE < OF_SERVICE < ALL


@pytest.mark.parametrize("service", NAMES)
def test_every_slow_verb_has_a_concurrency_limit(service: str) -> None:
    """Both lists must agree, because a slow verb without a limit in its service can hold the gateway's threads."""
    import importlib

    module = importlib.import_module(f"{service}.service")
    [service_class] = [
        value for value in vars(module).values() if isinstance(value, type) and getattr(value, "name", "") == service
    ]
    limited = {
        name
        for name, method in vars(service_class).items()
        for entrypoint in getattr(method, "nameko_entrypoints", ())
        if getattr(entrypoint, "most", None) is not None
    }
    asked = {verb for name, verb in SLOW if name == service}
    assert asked <= limited
    # No route calls the other limited verbs.
    routes = "".join(path.read_text() for path in Path(shares.__file__).parent.glob("routes/*.py"))
    assert [verb for verb in limited - asked if f".{service}.{verb}(" in routes] == []


def test_slow_verbs_at_their_limit_do_not_block_reads(
    new_gateway: Callable[..., Running],
) -> None:
    running = new_gateway(GATEWAY_WORKERS="1", PAY_TIMEOUT="60")
    path, body = "/api/cart/paid/", {"order_id": "hang-50", "cart": "tok_visa"}
    with ThreadPoolExecutor(SLOW_OF_SERVICE + 20) as pool:
        payers = [pool.submit(running.ask, "POST", path, body) for _ in range(SLOW_OF_SERVICE + 20)]
        end = time.monotonic() + 30
        while sum(payer.done() for payer in payers) < 20 and time.monotonic() < end:
            time.sleep(0.05)
        done = [payer for payer in payers if payer.done()]
        assert len(done) == 20
        for payer in done:
            assert_problem(payer.result(), 503)
            assert 2 <= int(payer.result().headers["retry-after"]) <= 5
        for _ in range(10):
            assert running.ask("GET", "/api/products/prod_1/", timeout=30).status == 200
        assert sum(payer.done() for payer in payers) == 20
        running.kill()  # the test needs no other answer

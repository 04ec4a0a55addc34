"""Rate limits: a number of requests of each kind per window of time, then 429.

The table below is the whole policy; docs/api/rate-limits.md prints it. Limits count in this process, so with N
workers a client gets up to N times as much, unless `RATE_LIMIT_URL` names a Redis that all workers share. The limits on
declined cards are in the cart service's database (`cart.store.card_attempts`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from falcon import Request
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.strategies import SlidingWindowCounterRateLimiter

from chassis.settings import Settings
from contracts.errors import TooManyRequests
from gateway import addresses, auth, identity, visit
from gateway.limit_storage import BoundedMemory, Limit, SharedStorage
from gateway.visit import Visit

MINUTE, HOUR = 60, 3600

Value = TypeVar("Value")

ADDRESS = Limit("address", 600, MINUTE, "client address", "all requests")
# A first visit reads about 40 files. They come from memory, so they may be many, and leave the API's quota alone.
ADDRESS_FILE = Limit("address-file", 3000, MINUTE, "client address", "the storefront's files, in place of `address`")
ADDRESS_WRITE = Limit("address-write", 120, MINUTE, "client address", "`POST`, `PUT` and `DELETE`")
ADDRESS_CART = Limit("address-cart", 60, HOUR, "client address", "new carts")
ADDRESS_CHECKOUT = Limit("address-checkout", 60, HOUR, "client address", "checkouts")
# A choice may cost a calculation of taxes, as a checkout does; a shopper compares a few methods for each order.
ADDRESS_SHIPPING = Limit("address-shipping", 120, HOUR, "client address", "choices of a shipping method")
ADDRESS_PAYMENT = Limit("address-payment", 60, HOUR, "client address", "payments")
# Codes are for those who got one: guessing them must not pay, with one cart or with many.
ADDRESS_DISCOUNT = Limit("address-discount", 60, HOUR, "client address", "discount codes")
CART_BUY = Limit("cart-buy", 300, HOUR, "cart", "additions to the cart")
CART_CHECKOUT = Limit("cart-checkout", 30, HOUR, "cart", "checkouts")
CART_SHIPPING = Limit("cart-shipping", 60, HOUR, "cart", "choices of a shipping method")
CART_DISCOUNT = Limit("cart-discount", 20, HOUR, "cart", "discount codes")
CART_PAYMENT = Limit("cart-payment", 30, HOUR, "cart", "payments")
ORDER_PAYMENT = Limit("order-payment", 20, HOUR, "order", "payments")
ORDER_CANCEL = Limit("order-cancel", 20, HOUR, "order", "cancellations")
ADMIN = Limit("admin", 6000, MINUTE, "admin key", "all requests with the key, in place of the limits per address")
ORDER_TOKEN = Limit("order-token", 30, MINUTE, "client address", "wrong order tokens; beyond that, all order tokens")
WEBHOOK_SIGNATURE = Limit("webhook-signature", 20, MINUTE, "client address", "webhooks with a bad signature")

TABLE = (
    *(ADDRESS, ADDRESS_FILE, ADDRESS_WRITE, ADDRESS_CART, ADDRESS_CHECKOUT, ADDRESS_SHIPPING, ADDRESS_PAYMENT),
    *(ADDRESS_DISCOUNT, CART_BUY, CART_CHECKOUT, CART_SHIPPING, CART_DISCOUNT, CART_PAYMENT, ORDER_PAYMENT),
    *(ORDER_CANCEL, ADMIN, ORDER_TOKEN, WEBHOOK_SIGNATURE),
)
# No limits here: monitoring calls /health/, and a webhook counts only once its signature is known to be bad.
UNLIMITED = ("/health/", "/api/webhooks/")
READS = ("GET", "HEAD", "OPTIONS")


class Limits:
    """The counters of all limits.

    Args:
        settings: whether there are limits, and where they are counted.
    """

    def __init__(self, settings: Settings) -> None:
        self.on = settings.rate_limits
        self._shared = SharedStorage(settings.rate_limit_url) if settings.rate_limit_url else None
        self._items = {
            limit.name: RateLimitItemPerSecond(limit.quota, limit.window, namespace=limit.name) for limit in TABLE
        }
        # Each limit has its own storage: invented cart ids must not evict the counters of addresses.
        self._own = {limit.name: SlidingWindowCounterRateLimiter(BoundedMemory()) for limit in TABLE}
        self._redis = SlidingWindowCounterRateLimiter(self._shared.storage) if self._shared else None

    def hit(self, limit: Limit, key: str) -> bool:
        """Count one request; returns whether it is within the limit."""
        return self._ask(limit, lambda counters, item: counters.hit(item, key))

    def left(self, limit: Limit, key: str) -> tuple[int, int]:
        """How many requests are left, and the seconds until there is one more."""
        stats = self._ask(limit, lambda counters, item: counters.get_window_stats(item, key))
        # The library has just computed this moment from the wall clock.
        seconds = math.floor(stats.reset_time - time.time()) + 1
        return stats.remaining, min(max(1, seconds), limit.window)

    def _ask(self, limit: Limit, ask: Callable[[SlidingWindowCounterRateLimiter, RateLimitItem], Value]) -> Value:
        """Ask Redis; without one, or while it does not answer, this process."""
        item = self._items[limit.name]
        if self._redis is not None and self._shared is not None and self._shared.answers:
            try:
                return ask(self._redis, item)
            except Exception as error:  # no failure of Redis may stop the shop
                self._shared.lost(error)
        return ask(self._own[limit.name], item)


def admit(current: Visit, environ: Mapping[str, Any], is_file: bool) -> None:
    """Identify a request's sender and count the request before any work on it. Raises TooManyRequests.

    Args:
        is_file: whether its path is that of a file of the storefront.
    """
    if environ["PATH_INFO"].startswith(UNLIMITED):
        return
    auth.identify(current, environ.get("HTTP_AUTHORIZATION"))
    if not current.gateway.limits.on:
        return
    if current.admin is not None:
        _spend(current, ADMIN, current.admin)
        return
    address = addresses.limit_key(current.client_address)
    is_read = environ["REQUEST_METHOD"] in READS
    _spend(current, ADDRESS_FILE if is_file and is_read else ADDRESS, address)
    if not is_read:
        _spend(current, ADDRESS_WRITE, address)


def spend(request: Request, limit: Limit, key: str | None = None) -> None:
    """Count a request of one kind.

    Args:
        key: the counter's key; the client's address when None.

    Raises TooManyRequests.
    """
    current = visit.of(request)
    if current.gateway.limits.on and current.admin is None:
        _spend(current, limit, addresses.limit_key(current.client_address) if key is None else key)


def require_left(request: Request, limit: Limit) -> None:
    """Raise TooManyRequests when the client's address has exhausted a limit. Counts nothing."""
    current = visit.of(request)
    if current.gateway.limits.on and current.admin is None:
        left, seconds = current.gateway.limits.left(limit, addresses.limit_key(current.client_address))
        if left <= 0:
            raise _exhausted(limit, seconds)


def payer(request: Request, cart_id: str) -> str:
    """Whose limit a payment counts against: the cart's; in the shared cart, that of each client address separately."""
    if cart_id != identity.SHARED:
        return cart_id
    return f"{cart_id}@{addresses.limit_key(visit.of(request).client_address)}"


def header(current: Visit) -> str | None:
    """`RateLimit` of the limit that was counted last (draft-ietf-httpapi-ratelimit-headers); None when none was."""
    if current.spent is None:
        return None
    limit, key = current.spent
    left, seconds = current.gateway.limits.left(limit, key)
    return f'"{limit.name}";r={left};t={seconds}'


def _spend(current: Visit, limit: Limit, key: str) -> None:
    counters = current.gateway.limits
    current.spent = (limit, key)
    if counters.hit(limit, key):
        return
    current.spent = None  # the refusal has its own headers
    _, seconds = counters.left(limit, key)
    raise _exhausted(limit, seconds)


def _exhausted(limit: Limit, seconds: int) -> TooManyRequests:
    return TooManyRequests(
        f"More than {limit.quota} requests of this kind in {limit.window} s. Come back later.",
        {"retry_after": seconds, "limit": limit.name, "quota": limit.quota, "window": limit.window},
    )

"""Stripe's SDK, without the HTTP client for asynchronous calls."""

from chassis.optional_imports import without

with without("aiohttp", "httpx"):
    import stripe

__all__ = ["stripe"]

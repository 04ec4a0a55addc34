"""The shop behaves like the model: cart, checkout, shipping, payments of all kinds, cancellation, refund."""

from __future__ import annotations

import pytest

from bench.faults.front import Front
from bench.faults.model import STEPS, drive
from bench.faults.stage import Stage

RUNS = 15
SEED = 20
# The runs prove something only if each of these outcomes occurs several times.
EVERY_END = (
    *("buy 200", "buy 409", "checkout 201", "checkout 409", "shipping 200", "shipping 409"),
    *("paid 200", "paid 402", "paid 409", "bank succeed", "bank fail"),
    *("cancel 200", "cancel 409", "refund 200", "refund 400", "refund 409", "repeated"),
)


@pytest.mark.timeout(900)
def test_shop_behaves_like_the_model(lone: Stage) -> None:
    lone.shop.wait_ready()
    tally = drive(Front(lone.shop.url, lone.shop.sandbox_url), RUNS, SEED, say=print)
    assert (tally.runs, tally.steps) == (RUNS, RUNS * STEPS)
    assert tally.orders > 3 * RUNS
    print(dict(tally.ends))
    for end in EVERY_END:
        assert tally.ends[end] > 0, end

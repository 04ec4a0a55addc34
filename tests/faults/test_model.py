"""The shop does what the model does: cart, checkout, shipping, payments of all kinds, cancel, refund."""

from __future__ import annotations

import pytest

from bench.faults.front import Front
from bench.faults.model import drive

RUNS = 30
SEED = 20


@pytest.mark.timeout(300)
def test_the_shop_does_what_the_model_does(front: Front) -> None:
    tally = drive(front, RUNS, SEED, say=print)
    assert tally.whole >= RUNS
    assert tally.orders > 3 * RUNS

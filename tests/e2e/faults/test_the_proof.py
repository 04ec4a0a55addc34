"""The check of the books is itself tested: without a guard, the books must show a violation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.faults import books
from bench.faults.stage import Stage
from tests.e2e.faults import sabotage, targeted
from tests.e2e.faults.sabotage import Sabotage, Saboteur
from tests.e2e.faults.targeted import Storm

READY_TIMEOUT_S = 180.0  # for processes that were restarted

PROOFS = [
    ((sabotage.IDEMPOTENCY_KEYS, sabotage.ORDER_DIGEST), targeted.repeated_requests, books.ONE_ORDER),
    ((sabotage.ORDER_CLAIM,), targeted.two_payment_windows, books.NO_CHARGE),
    ((sabotage.STOCK,), targeted.race_for_the_last_pieces, books.STOCK),
    ((sabotage.REDEMPTION,), targeted.race_for_the_last_redemptions, books.REDEEMED),
    ((sabotage.TAX_KEY,), targeted.lost_tax_answer, books.ONE_TAX),
    ((sabotage.OUTBOX,), targeted.mail_outage, books.EMAIL),
    ((sabotage.COMPLETER,), targeted.lost_payment_answer, books.STUCK),
]


@contextmanager
def without(stage: Stage, saboteur: Saboteur, guards: tuple[Sabotage, ...]) -> Iterator[None]:
    """The shop with guards removed."""
    saboteur.place(guards)
    for guard in guards:
        stage.shop.kill(guard.part)
    try:
        yield stage.shop.wait_ready(READY_TIMEOUT_S)
    finally:
        saboteur.place([])
        for guard in guards:
            stage.shop.kill(guard.part)
        stage.shop.wait_ready(READY_TIMEOUT_S)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("guards", "storm", "rule"), PROOFS, ids=[guards[0].what for guards, _, _ in PROOFS])
def test_books_show_a_missing_guard(
    lone: Stage, saboteur: Saboteur, guards: tuple[Sabotage, ...], storm: Storm, rule: str
) -> None:
    lone.shop.wait_ready(READY_TIMEOUT_S)
    violations, took = targeted.violations_after(lone, storm)
    assert violations == []
    with without(lone, saboteur, guards):
        # Twice the time that the intact shop took, plus a margin. Work that is not done by then is missing.
        violations, _ = targeted.violations_after(lone, storm, 2 * took + 2)
    assert rule in {violation.rule for violation in violations}

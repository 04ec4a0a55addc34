"""The proof is itself tested: each guard of the shop is taken out in turn, and the books must show it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.faults import books
from bench.faults.stage import Stage
from tests.e2e.faults import sabotage, targeted
from tests.e2e.faults.sabotage import Sabotage, Saboteur
from tests.e2e.faults.targeted import Storm

READY = 180.0  # seconds until what was started anew is there

PROOFS = [
    ((sabotage.KEYS, sabotage.DIGEST), targeted.everything_twice, books.ONE_ORDER),
    ((sabotage.CLAIM,), targeted.two_windows, books.NO_CHARGE),
    ((sabotage.SHELF,), targeted.the_last_pieces, books.STOCK),
    ((sabotage.OUTBOX,), targeted.a_mailbox_away, books.EMAIL),
    ((sabotage.COMPLETER,), targeted.a_silent_bank, books.STUCK),
]


@contextmanager
def without(stage: Stage, saboteur: Saboteur, guards: tuple[Sabotage, ...]) -> Iterator[None]:
    """The shop with guards removed."""
    saboteur.place(guards)
    for guard in guards:
        stage.shop.kill(guard.part)
    try:
        yield stage.shop.wait_ready(READY)
    finally:
        saboteur.place([])
        for guard in guards:
            stage.shop.kill(guard.part)
        stage.shop.wait_ready(READY)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("guards", "storm", "rule"), PROOFS, ids=[guards[0].what for guards, _, _ in PROOFS])
def test_without_its_guard_the_books_show_it(
    lone: Stage, saboteur: Saboteur, guards: tuple[Sabotage, ...], storm: Storm, rule: str
) -> None:
    lone.shop.wait_ready(READY)
    violations, took = targeted.found(lone, storm)
    assert violations == []
    with without(lone, saboteur, guards):
        # Twice the time that the whole shop took, and a little: what has not come to pass by then is missing.
        violations, _ = targeted.found(lone, storm, 2 * took + 2)
    assert rule in {violation.rule for violation in violations}

"""Idempotent calls: a call that carries a key is claimed before it runs, and its answer is stored.

A repetition gets the stored answer, byte for byte. Only a definitive answer is stored: a result, or a refusal that
would be the same tomorrow. Any other failure (a provider away, an unknown outcome) releases the claim: the next call
runs the verb again, which takes effect at most once, by its key. A claim holds until the caller's deadline, or until
its holder is gone (`chassis.db.heartbeat`). A call that lost its claim stores nothing, and returns the winner's answer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from chassis.answers import Replay, encoded, encoded_result
from chassis.clock import now as clock_now
from chassis.crash_points import crash_point
from chassis.db.claims import RELEASED, Claims
from chassis.db.engine import Database, once_more
from chassis.db.heartbeat import GONE_AFTER_S
from chassis.db.shared_tables import answers
from chassis.deadline import bounded, remaining
from chassis.fair_scheduling import away
from contracts.errors import (
    Conflict,
    InvalidRequest,
    KeyInProgress,
    KeyReused,
    NotFound,
    OutcomeUnknown,
    PaymentDeclined,
    Refused,
    ShopError,
    Unavailable,
)

# How long an answer is kept (seconds); 24 h are promised. How often old ones are deleted, and how soon after a failure.
ANSWER_KEPT_S = 48 * 3600.0
FORGET_INTERVAL_S = 3600.0
RETRY_PAUSE_S = 1.0
# How long a call may continue after its caller's deadline (seconds), and how long a claim holds without a deadline.
CLAIM_MARGIN_S = 5.0
CLAIM_S = 60.0
# How long a call waits for another under the same key (seconds): most are done by then. A redelivered call waits until
# the holder would count as gone: the holder may be the copy that was killed while it handled this very message. The
# pause between two looks grows by half each time, from the first of these to the second.
WAIT_S = 1.0
REDELIVERED_WAIT_S = GONE_AFTER_S + 2.0
LOOK_INTERVALS_S = (0.05, 0.5)

# The verb has run, and its answer is not stored yet; the answer is stored, and not sent yet.
POINTS = ("idempotency:keep:begun", "idempotency:keep:done")

# A key whose answer is not stored yet.
_OPEN = answers.c.ended.is_(None)
# Definitive, unless the failure itself says when to come back.
DEFINITIVE = (PaymentDeclined, NotFound, Conflict, Refused)


@dataclass(frozen=True)
class Asked:
    """A call that carries a key.

    Attributes:
        key: under which it is claimed and answered.
        body: a digest of the request: the same key with another one is refused.
        request_id: of the request that the call belongs to.
        redelivered: whether its message had been delivered before, to a copy that is gone now or to this one.
    """

    key: str
    body: str
    request_id: str | None = None
    redelivered: bool = False


@dataclass(frozen=True)
class KeyClaim:
    """The right to run the verb.

    Attributes:
        key: the claimed key.
        claim: the claim's token.
        fresh: whether the key was never claimed before.
    """

    key: str
    claim: str
    fresh: bool


class Idempotency:
    """The stored answers of one service.

    Args:
        database: the service's.
        clock: Unix seconds; another one in tests.
        sleep: waits that many seconds.
        timer: measures waits (monotonic seconds).
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float] = clock_now,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._claims = Claims(database, answers)
        self._clock = clock
        self._sleep = sleep
        self._timer = timer

    def run(self, asked: Asked, effect: str, verb: Callable[[], Any]) -> Any:
        """Return or raise what `verb` does, or return a `Replay` of its first outcome.

        Args:
            effect: the verb's name, for readers of the table.

        Raises:
            KeyInProgress: another call under the key is in progress.
            KeyReused: the key belongs to another request.
            Unavailable: the database is away, before or after the verb has run: a repetition finds out.
            OutcomeUnknown: the claim was lost meanwhile, and its new holder is still at work.
        """
        claim = self._taken(asked, effect)
        if isinstance(claim, Replay):
            return claim
        try:
            result = verb()
            text = encoded_result(result).decode()
        except Exception as error:
            if not _definitive(error):
                # An invalid request may be corrected under the same key. Not so if the verb had run before: part of the
                # earlier request may have been carried out.
                self._let_go(claim, forget=claim.fresh and isinstance(error, InvalidRequest))
                raise
            other = self._answered(claim, encoded(None, error).decode())
            if other is None:
                raise
            return other
        return self._answered(claim, text) or result

    def forget(self) -> None:
        """Delete answers that are old enough. Raises Unavailable."""
        before = self._clock() - ANSWER_KEPT_S
        old = sa.and_(answers.c.began < before, answers.c.claimed_until < self._clock())
        with self._database.write() as connection:
            connection.execute(
                sa.delete(answers).where(old, sa.or_(answers.c.ended.is_(None), answers.c.ended < before))
            )

    def run_forget(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Delete old answers each hour until the greenlet is killed; a failure of the database is retried."""
        while True:
            pause = RETRY_PAUSE_S
            with contextlib.suppress(Unavailable, sa.exc.SQLAlchemyError):
                self.forget()
                pause = FORGET_INTERVAL_S
            sleep(pause)

    def _taken(self, asked: Asked, effect: str) -> KeyClaim | Replay:
        """The claim, or the stored answer; waits a little if another call holds the claim."""
        end = self._timer() + bounded(REDELIVERED_WAIT_S if asked.redelivered else WAIT_S)
        pause, longest = LOOK_INTERVALS_S
        while True:
            found = self._claim(asked, effect)
            if found is not None:
                return found
            while self._busy(asked.key):
                if self._timer() >= end:
                    message = "A request with this Idempotency-Key is still in progress."
                    raise KeyInProgress(message, {"retry_after": 1})
                with away():
                    self._sleep(min(pause, max(0.0, end - self._timer())))
                pause = min(1.5 * pause, longest)

    @once_more  # another call may insert the key at this moment
    def _claim(self, asked: Asked, effect: str) -> KeyClaim | Replay | None:
        """Claim the key, or find its answer; None while another holds it. Raises KeyReused."""
        left, this = remaining(), answers.c.key == asked.key
        values = self._claims.new(self._clock() + (CLAIM_S if left is None else max(0.0, left) + CLAIM_MARGIN_S))
        values["request_id"] = asked.request_id
        with self._database.write() as connection:
            row = connection.execute(self._row(this).with_for_update(of=answers)).one_or_none()
            if row is None:
                fresh = {"key": asked.key, "body": asked.body, "effect": effect, "began": self._clock()}
                connection.execute(sa.insert(answers).values(**fresh, **values))
                return KeyClaim(asked.key, values["claim"], fresh=True)
            if row.body != asked.body:
                message = "was used for another request"
                raise KeyReused(f"This Idempotency-Key {message}.", {"errors": {"Idempotency-Key": [message]}})
            if row.ended is not None:
                return Replay(row.answer, row.request_id)
            if not row.void:
                return None
            connection.execute(sa.update(answers).where(this).values(**values))
            return KeyClaim(asked.key, values["claim"], fresh=False)

    def _busy(self, key: str) -> bool:
        with self._database.read() as connection:
            row = connection.execute(self._row(answers.c.key == key)).one_or_none()
        return row is not None and row.ended is None and not row.void

    def _row(self, condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
        return sa.select(answers, self._claims.is_void(self._clock()).label("void")).where(condition)

    def _answered(self, claim: KeyClaim, text: str) -> Replay | None:
        crash_point("idempotency:keep:begun")
        other = self._kept(claim, text)
        crash_point("idempotency:keep:done")
        return other

    def _kept(self, claim: KeyClaim, text: str) -> Replay | None:
        """Store the answer, and return None; if another call has taken the key over, return that call's answer."""
        try:
            with self._database.write() as connection:
                ended = self._claims.update(claim.key, claim.claim, _OPEN).values(**RELEASED, **self._ending(text))
                if connection.execute(ended).rowcount == 1:
                    return None
                row = connection.execute(sa.select(answers).where(answers.c.key == claim.key)).one_or_none()
        except Unavailable:
            # The verb has run, but its result is not sent: without a stored answer, a repetition could get another one.
            self._claims.release_later(claim.key, claim.claim, _OPEN, **self._ending(text))
            raise
        if row is not None and row.ended is not None:
            return Replay(row.answer, row.request_id)
        raise OutcomeUnknown("Another call has taken this request over and is still at work.", {"retry_after": 1})

    def _let_go(self, claim: KeyClaim, forget: bool) -> None:
        if not forget:
            self._claims.release(claim.key, claim.claim, _OPEN)
            return
        mine = sa.and_(answers.c.key == claim.key, answers.c.claim == claim.claim, _OPEN)
        self._database.deferred.write(sa.delete(answers).where(mine), claim.key)

    def _ending(self, text: str) -> dict[str, Any]:
        return {"answer": text, "ended": self._clock()}


def _definitive(error: Exception) -> bool:
    return isinstance(error, DEFINITIVE) and isinstance(error, ShopError) and "retry_after" not in error.facts

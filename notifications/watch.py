"""Tracks the messages after sending: from the providers' events, and by polling, because events may be lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chassis.clock import now as clock_now
from chassis.work.inbox import NotYet
from chassis.work.sweep import polled
from notifications.rules.progress import News, Unwanted
from notifications.rules.sms import Texter
from notifications.store.messages import MessageStore

# How many text messages are polled in one run.
BATCH = 20


class Watch:
    """Records what events report, and polls.

    Args:
        store: where messages are recorded.
        texter: the port to poll about texts.
        clock: Unix seconds.
    """

    def __init__(self, store: MessageStore, texter: Texter, clock: Callable[[], float] = clock_now) -> None:
        self._store = store
        self._texter = texter
        self._clock = clock

    def record(self, kind: str, found_by: Mapping[str, str], news: News | None) -> None:
        """Record what a provider reports; repeating it is safe. See `notifications.rules.progress.Record`.

        Raises NotYet: the message is not recorded; its sender may be slower than the event, or have been killed.
        """
        if news is not None and not self._store.progressed(kind, found_by, news, self._clock()):
            raise NotYet("There is no such message.")

    def wish(self, number: str, wanted: bool, at: float) -> None:
        """Record whether a number wants text messages, as its holder said; see `notifications.rules.progress.Wish`."""
        self._store.suppressions.record(number, None if wanted else Unwanted.OPTED_OUT, at)

    def poll(self, every: float) -> None:
        """Poll text messages that were not asked about for this many seconds."""
        due = [(sid, sid) for sid in self._store.due(self._clock(), every, BATCH)]
        polled("text message", due, self._look, self._store.put_back)

    def _look(self, sid: str) -> None:
        news = self._texter.news(sid)
        if news is not None:
            self._store.progressed("sms", {"provider_id": sid}, news, self._clock())

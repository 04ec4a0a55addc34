"""Tracks the messages after sending: from the providers' events, and by polling, because events may be lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from chassis.clock import now as clock_now
from chassis.logs import log
from chassis.records import SetAside, note
from chassis.work.inbox import NotYet
from contracts.errors import ShopError, Unavailable
from notifications.rules.progress import News
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

    def poll(self, every: float) -> None:
        """Poll text messages that were not asked about for this many seconds."""
        due = self._store.due(self._clock(), every, BATCH)
        for number, sid in enumerate(due):
            try:
                news = self._texter.news(sid)
            except Unavailable as error:
                log.warning("text messages not polled", error=str(error))
                self._store.put_back(due[number:])
                return
            except ShopError as error:
                log.warning("text message not polled", sid=sid, error=str(error))
                continue
            except Exception as error:  # a bug, or an unforeseen error: continue with the other messages
                note("text message", SetAside(sid, f"{type(error).__name__}: {error}"), error)
                continue
            if news is not None:
                self._store.progressed("sms", {"provider_id": sid}, news, self._clock())

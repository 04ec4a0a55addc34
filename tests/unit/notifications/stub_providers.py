"""Providers with scripted answers, and a clock that moves only during `sleep`."""

from __future__ import annotations

from collections.abc import Callable

from chassis.providers.http_session import HeldBack, look_again
from contracts.errors import Unavailable
from notifications.rules.messages import Mail, Sms
from notifications.rules.progress import News
from notifications.rules.sms import SentSms


class Clock:
    """A clock that moves only during `sleep`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move the clock forward."""
        self.now += seconds


class StubTexter:
    """A provider of text messages.

    Attributes:
        arrived: each accepted message: the answer, the message and the time.
        trouble: the errors of the next calls to send, in turn.
        sends_anyway: whether the message is sent before such an error is raised.
        blind: how many questions find no message yet.
        deaf: the error of every question.
        news_by_sid: the answers of `news`, by SID.
    """

    longest_call = 11.0
    longest_answer = 8.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.arrived: list[tuple[SentSms, Sms, float]] = []
        self.trouble: list[BaseException] = []
        self.sends_anyway = False
        self.blind = 0
        self.deaf: Exception | None = None
        self.sends = 0
        self.on_connect: Callable[[], None] = lambda: None
        self.questions = 0
        self.on_send: Callable[[], None] = lambda: None
        self.on_question: Callable[[], None] = lambda: None
        self.news_by_sid: dict[str, News | None] = {}
        self.asked_about: list[str] = []

    def news(self, sid: str) -> News | None:
        self.asked_about.append(sid)
        if self.deaf is not None:
            raise self.deaf
        return self.news_by_sid.get(sid)

    def send(self, sms: Sms) -> SentSms:
        _connect(self.on_connect)
        self.sends += 1
        trouble = self.trouble.pop(0) if self.trouble else None
        sent = SentSms(f"SM{self.sends}", "queued")
        self.on_send()
        if trouble is None or self.sends_anyway:
            self.arrived.append((sent, sms, self._clock()))
        if trouble is not None:
            raise trouble
        return sent

    def sent(self, sms: Sms, since: float) -> list[SentSms]:
        self.questions += 1
        self.on_question()
        if self.deaf is not None:
            raise self.deaf
        if self.blind:
            self.blind -= 1
            return []
        return [
            sent
            for sent, other, when in self.arrived
            if (other.number, other.body) == (sms.number, sms.body) and when >= since - 60
        ]


class StubMailer:
    """A provider of mail; see `StubTexter`."""

    longest_call = 16.0

    def __init__(self) -> None:
        self.arrived: list[Mail] = []
        self.trouble: list[BaseException] = []
        self.sends_anyway = False
        self.sends = 0
        self.on_connect: Callable[[], None] = lambda: None

    def send(self, mail: Mail) -> str:
        _connect(self.on_connect)
        self.sends += 1
        trouble = self.trouble.pop(0) if self.trouble else None
        if trouble is None or self.sends_anyway:
            self.arrived.append(mail)
        if trouble is not None:
            raise trouble
        return f"mail-{self.sends}"


def _connect(on_connect: Callable[[], None]) -> None:
    on_connect()
    try:
        look_again()
    except HeldBack as error:
        raise Unavailable("held back") from error

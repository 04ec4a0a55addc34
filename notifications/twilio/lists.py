"""Twilio's list of the messages that the shop's number sent, page by page, the newest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from twilio.base.exceptions import TwilioRestException

from chassis.records import SetAside, Unreadable, read_one
from notifications.rules.reconcile import Texted
from notifications.twilio.texter import TwilioTexter, asking

if TYPE_CHECKING:
    from twilio.rest.api.v2010.account.message import MessageInstance, MessagePage

PAGE = 100


class TwilioLists:
    """The messages that Twilio has sent for the shop, including those without a record of ours.

    Args:
        texter: the adapter whose connections and error translation are shared.
    """

    def __init__(self, texter: TwilioTexter) -> None:
        self._twilio = texter.client
        self._sender = texter.sender  # a number, or the SID of a messaging service ("MG…")

    def texts(self, cursor: str | None, since: float) -> tuple[list[Texted | SetAside], str | None]:
        """Return a page of the messages sent since then (Unix seconds), and the cursor of the next one; None at the
        end.

        The query has no date filter, because messages that Twilio rejects later have no date. The list ends with the
        first page that is entirely older. A message that cannot be read appears in the page as set aside. Raises
        Unavailable, ProviderFailure.
        """
        messages = self._twilio.messages
        with asking():
            if cursor is None:
                service = self._sender.startswith("MG")
                page = messages.page(page_size=PAGE, **({} if service else {"from_": self._sender}))
            else:
                page = messages.get_page(self._twilio.api.absolute_url(cursor))
            listed = list(self._each(page))
            following = page.next_page_url
        recent = [each for each in listed if isinstance(each, SetAside) or each[0].created >= since]
        found = [
            each if isinstance(each, SetAside) else each[0] for each in recent if isinstance(each, SetAside) or each[1]
        ]
        if following is None or not recent:
            return found, None
        # Relative, so that a cursor can lead only to Twilio.
        return found, following.removeprefix(self._twilio.api.absolute_url(""))

    def _each(self, page: MessagePage) -> Iterator[tuple[Texted, bool] | SetAside]:
        """Yield each message of a page, and whether the shop sent it."""
        while True:
            message = read_one("message at Twilio", page, lambda page: next(page, None))
            if message is None:
                return
            if isinstance(message, SetAside):
                yield message
            else:
                yield read_one("message at Twilio", message, lambda each: (_texted(each), self._is_ours(each)))

    def one(self, sid: str) -> Texted | SetAside | None:
        """Return one message, or None when Twilio does not know it. Raises as `texts`."""
        with asking():
            try:
                return read_one("message at Twilio", self._twilio.messages(sid).fetch(), _texted)
            except TwilioRestException as error:
                if int(error.status) == 404:
                    return None
                raise

    def _is_ours(self, message: MessageInstance) -> bool:
        sender = message.messaging_service_sid if self._sender.startswith("MG") else message.from_
        return sender == self._sender and str(message.direction or "").startswith("outbound")


def _texted(message: MessageInstance) -> Texted:
    if not message.sid or not message.date_created:
        raise Unreadable("it has no sid, or no date_created")
    created = message.date_created.timestamp()
    return Texted(str(message.sid), str(message.to), str(message.body or ""), str(message.status or "queued"), created)

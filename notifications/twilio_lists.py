"""Twilio's list of the messages that the shop's number sent, page by page, the newest first."""

from __future__ import annotations

from typing import Any

from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]

from notifications.reconcile import Texted
from notifications.twilio_sms import TwilioTexter, asking

PAGE = 100


class TwilioLists:
    """What Twilio has sent for the shop, whether we know of it or not.

    Args:
        texter: the adapter whose connections and failures these are, too.
    """

    def __init__(self, texter: TwilioTexter) -> None:
        self._twilio = texter.client
        self._sender = texter.sender  # a number, or the SID of a messaging service ("MG…")

    def texts(self, cursor: str | None, since: float) -> tuple[list[Texted], str | None]:
        """A page of the messages sent since then (Unix seconds), and where the next one begins; None at the end.

        Not asked for by date: what was refused later has none. The list ends with the first page that is older than
        that altogether. Raises Unavailable, ProviderFailure.
        """
        messages = self._twilio.messages
        with asking():
            if cursor is None:
                service = self._sender.startswith("MG")
                page = messages.page(page_size=PAGE, **({} if service else {"from_": self._sender}))
            else:
                page = messages.get_page(self._twilio.api.absolute_url(cursor))
            listed = list(page)
            following = page.next_page_url
        recent = [text for each in listed if (text := _texted(each)).created >= since]
        ours = {each.sid for each in listed if self._is_ours(each)}
        if following is None or not recent:
            return [text for text in recent if text.sid in ours], None
        # Relative, so that a cursor never leads anywhere but to Twilio.
        return [text for text in recent if text.sid in ours], following.removeprefix(self._twilio.api.absolute_url(""))

    def one(self, sid: str) -> Texted | None:
        """One message, or None when Twilio knows of none. Raises as `texts`."""
        with asking():
            try:
                return _texted(self._twilio.messages(sid).fetch())
            except TwilioRestException as error:
                if int(error.status) == 404:
                    return None
                raise

    def _is_ours(self, message: Any) -> bool:
        sender = message.messaging_service_sid if self._sender.startswith("MG") else message.from_
        return sender == self._sender and str(message.direction or "").startswith("outbound")


def _texted(message: Any) -> Texted:
    created = message.date_created.timestamp() if message.date_created else 0.0
    return Texted(str(message.sid), str(message.to), str(message.body or ""), str(message.status or "queued"), created)

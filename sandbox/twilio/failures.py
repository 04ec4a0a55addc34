"""Twilio's answer to a call that it rejects."""

from __future__ import annotations

from sandbox.provider import Answer, json_answer


class TwilioFailure(Exception):
    """A call that Twilio rejects: HTTP status, Twilio's error code, message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def answer(self) -> Answer:
        """Return the answer in Twilio's format."""
        body = {
            "code": self.code,
            "message": str(self),
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        return json_answer(self.status, body)

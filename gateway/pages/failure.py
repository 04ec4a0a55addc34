"""The page of a failure, in place of a problem body."""

from __future__ import annotations

from dataclasses import replace

from chassis.settings import Settings
from gateway.errors import Answer
from gateway.pages.rendering import page

# What a person can do about it; the answer's own details are for programs.
_TEXTS = {
    404: (
        "We cannot find this order",
        "The link may be incomplete, or replaced by a newer one. Please open the link in the latest mail about your "
        "order.",
    ),
    429: ("Too many requests", "Please wait a minute, then open the link again."),
    503: ("The shop is busy", "Please try again in a moment. Your order is safe."),
}
_TEXTS[502] = _TEXTS[504] = _TEXTS[503]
_OTHER = ("This page cannot be shown", "Please open the link in the mail about your order.")


def failure(answer: Answer, settings: Settings, request_id: str) -> Answer:
    """`answer` as a page for people, with the same status and headers.

    Args:
        request_id: shown for failures of the shop, so that support can find them in the logs.
    """
    title, text = _TEXTS.get(answer.status, _OTHER)
    variables = {"title": title, "text": text, "reference": request_id if answer.status >= 500 else None}
    body = page("failure.html", settings, variables).encode()
    about = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body))}
    return replace(answer, headers={**answer.headers, **about}, body=body)

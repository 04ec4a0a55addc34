"""The table from failures to HTTP statuses, and the problem body (RFC 9457) of every failure's answer."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import falcon
import orjson

from chassis.logs import log
from contracts import errors as failures
from contracts.errors import ShopError

PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """How one kind of failure is reported over HTTP.

    Attributes:
        status: the HTTP status.
        name: the last part of the problem's `type`, for programs.
        title: the same for every failure of this kind, for people.
        facts: which of the failure's facts are shown; all others stay inside.
        retry_after: seconds until a repetition makes sense, if the failure names none; None: sent only if it does.
            It also marks a malfunction, which is logged, as opposed to a refusal.
    """

    status: int
    name: str
    title: str
    facts: tuple[str, ...] = ()
    retry_after: int | None = None


# A missing service may be back in a second; a provider with invalid answers rarely recovers that fast.
KINDS: dict[type[ShopError], Kind] = {
    failures.InvalidRequest: Kind(400, "invalid-request", "The request is not valid", ("errors",)),
    failures.PaymentDeclined: Kind(402, "payment-declined", "The card was declined", ("code", "decline_code")),
    failures.PaymentActionRequired: Kind(
        402, "payment-action-required", "The bank wants a confirmation", ("client_secret", "next_action")
    ),
    failures.NotFound: Kind(404, "not-found", "Not found"),
    failures.Conflict: Kind(409, "conflict", "The state forbids it"),
    failures.KeyInProgress: Kind(409, "idempotency-key-in-progress", "The first request is still in progress"),
    failures.KeyReused: Kind(422, "idempotency-key-reused", "The key stands for another request", ("errors",)),
    failures.Refused: Kind(422, "refused", "The request is refused", ("errors", "code", "suggestion")),
    failures.TooManyRequests: Kind(429, "rate-limited", "Too many requests"),
    failures.ProviderFailure: Kind(502, "provider-failure", "A provider answered nonsense", retry_after=5),
    failures.Unavailable: Kind(503, "unavailable", "Not reachable at the moment", retry_after=1),
    failures.OutcomeUnknown: Kind(504, "outcome-unknown", "The outcome is not known", retry_after=2),
    failures.DeadlineExceeded: Kind(504, "deadline-exceeded", "The deadline passed", retry_after=2),
}
BUG = Kind(500, "internal", "Something went wrong on our side")


class Refusal(Exception):
    """A request refused before any service is asked, for a reason of HTTP itself."""

    status = 400
    name = "bad-request"
    title = "The request is not valid"

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})


class NoKey(Refusal):
    """A request to an admin route without a key."""

    status, name, title = 401, "key-missing", "An admin key is needed"


class WrongKey(Refusal):
    """A request to an admin route with a wrong key."""

    status, name, title = 403, "key-refused", "The admin key is not accepted"


class NoSuchRoute(Refusal):
    """Nothing is served under this path."""

    status, name, title = 404, "not-found", "Not found"


class CrossSite(Refusal):
    """A page of another site made a browser request a change."""

    status, name, title = 403, "cross-site", "Other sites may not do this"


class BadHttp(Refusal):
    """The request is not valid HTTP, or contradicts itself."""

    name, title = "malformed-http", "The request is not valid HTTP"


class Incomplete(Refusal):
    """The request ended before it was complete."""

    name, title = "incomplete", "The request is incomplete"


class RequestTimeout(Refusal):
    """The request did not arrive in time."""

    status, name, title = 408, "request-timeout", "The request took too long to arrive"


class UrlTooLong(Refusal):
    """The URL is longer than any URL of this shop."""

    status, name, title = 414, "url-too-long", "The URL is too long"


class HeadersTooLarge(Refusal):
    """More headers, or longer ones, than any request of this shop needs."""

    status, name, title = 431, "headers-too-large", "The headers are too large"


class Busy(Refusal):
    """This process, or the share of the client's address, is full."""

    status, name, title = 503, "unavailable", "Not reachable at the moment"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, {"Retry-After": str(random.randint(1, 3))})  # noqa: S311


class TooLarge(Refusal):
    """The body is longer than any request of this shop needs."""

    status, name, title = 413, "too-large", "The body is too large"


class NotJson(Refusal):
    """The body is declared to be something other than JSON."""

    status, name, title = 415, "not-json", "The body must be JSON"


@dataclass(frozen=True)
class Answer:
    """The HTTP answer to a failure: status, headers, body."""

    status: int
    headers: dict[str, str]
    body: bytes


def answer(error: Exception, request_id: str) -> Answer:
    """The answer to `error`; a bug is logged here, with the request's id, and its details are not shown."""
    if isinstance(error, ShopError):
        kind = _kind(error)
        if kind is not None:
            return _described(kind, error, request_id)
    elif isinstance(error, Refusal):
        return _problem(error.status, error.name, error.title, error.detail, request_id, headers=error.headers)
    elif isinstance(error, falcon.HTTPError):
        return _routing(error, request_id)
    log.error("bug", service="gateway", request_id=request_id, exc_info=error)
    detail = f"The failure is noted under {request_id}."
    return _problem(BUG.status, BUG.name, BUG.title, detail, request_id)


def allowed(verbs: Collection[str]) -> str:
    """The value of `Allow` for a route with `verbs`: HEAD is answered wherever GET is, and OPTIONS everywhere."""
    every = {*verbs, "OPTIONS", *(["HEAD"] if "GET" in verbs else [])}
    return ", ".join(verb for verb in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS") if verb in every)


def status_line(status: int) -> str:
    """`404` -> ``"404 Not Found"``."""
    return f"{status} {HTTPStatus(status).phrase}"


def problem_body(
    status: int, name: str, title: str, detail: str, request_id: str, facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A problem as a dict; `facts` become additional members."""
    return {
        "type": f"urn:shop:problem:{name}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
        **(facts or {}),
    }


def _kind(error: ShopError) -> Kind | None:
    return next((KINDS[ancestor] for ancestor in type(error).__mro__ if ancestor in KINDS), None)


def _described(kind: Kind, error: ShopError, request_id: str) -> Answer:
    facts = {name: error.facts[name] for name in kind.facts if error.facts.get(name) is not None}
    headers = {}
    retry_after = _seconds(error.facts.get("retry_after")) or kind.retry_after
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if isinstance(error, failures.TooManyRequests):
        headers.update(_limit(error))
    if kind.retry_after is not None:
        log.warning("failed", service="gateway", request_id=request_id, kind=type(error).__name__, detail=error.detail)
    return _problem(kind.status, kind.name, kind.title, error.detail, request_id, facts, headers)


def _limit(error: failures.TooManyRequests) -> dict[str, str]:
    """The headers that name an exhausted limit (draft-ietf-httpapi-ratelimit-headers), if the failure names it."""
    name, quota, window = (error.facts.get(fact) for fact in ("limit", "quota", "window"))
    if not isinstance(name, str) or not isinstance(quota, int) or not isinstance(window, int):
        return {}
    wait = _seconds(error.facts.get("retry_after")) or 1
    return {"RateLimit-Policy": f'"{name}";q={quota};w={window}', "RateLimit": f'"{name}";r=0;t={wait}'}


def _routing(error: falcon.HTTPError, request_id: str) -> Answer:
    """The answer to Falcon's own errors: an unknown path, a verb that a route does not have."""
    status = int(error.status[:3])
    headers = dict(error.headers or {})
    if status == 404:
        return _problem(404, NoSuchRoute.name, NoSuchRoute.title, "There is nothing here.", request_id)
    if status == 405:
        headers["Allow"] = allowed(headers.get("Allow", "").split(", "))
        title = "The route exists, the verb does not"
        return _problem(405, "verb-not-allowed", title, f"Allowed here: {headers['Allow']}.", request_id, None, headers)
    return _problem(status, "bad-request", Refusal.title, HTTPStatus(status).phrase, request_id, None, headers)


def _seconds(value: Any) -> int | None:
    """A service's `retry_after` in whole seconds; at least one, since 0 would invite a busy loop."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return max(1, round(value))


def _problem(
    status: int,
    name: str,
    title: str,
    detail: str,
    request_id: str,
    facts: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    body = orjson.dumps(problem_body(status, name, title, detail, request_id, facts))
    about = {"Content-Type": PROBLEM, "Content-Length": str(len(body))}
    return Answer(status, {**(headers or {}), **about}, body)

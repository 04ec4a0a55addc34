"""The data of one request beyond HTTP (its id, its query, the process that serves it), and helpers for routes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from falcon import Request

from contracts.errors import NotFound
from gateway import addresses
from gateway.effect import Effect
from gateway.limit_storage import Limit
from gateway.process import Process
from gateway.rpc import Shop

ENVIRON_KEY = "shop.visit"
# The key under which the server passes on an errors.Refusal, made before any route sees the request.
REFUSAL_KEY = "shop.refusal"
# The characters of every id in this shop, ours and the providers'. No dot and no slash: ids become parts of their URLs.
# A tilde follows the name of any carrier but the first (`shipping.composite`).
ID = re.compile(r"[A-Za-z0-9_~-]{1,100}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Visit:
    """The gateway's data about a request; attached to it by `gateway.api.Gateway`.

    Attributes:
        gateway: the process's settings and its connection to the services.
        request_id: the caller's, or a new one.
        path: the path of its URL.
        client_address: the client's; behind a trusted proxy, the one that the proxy reports.
        via_proxy: whether a trusted proxy passed the request on, so that its headers about the client count.
        query_string: the raw query. Hug never sees it, since it would let it override the path's parameters.
        admin: the SHA-256 of the admin key that the request carries; None when it carries none of the shop's.
        spent: the rate limit that was counted last, and its key.
        notes: what accompanied a service's answer, when its request carried an `Idempotency-Key`; else None.
    """

    __slots__ = (
        *("admin", "client_address", "gateway", "notes", "path", "query_string", "request_id", "spent", "via_proxy"),
    )

    def __init__(self, gateway: Process, request_id: str, environ: Mapping[str, Any]) -> None:
        self.gateway = gateway
        self.request_id = request_id
        self.path: str = environ.get("PATH_INFO", "")
        peer, trusted = environ.get("REMOTE_ADDR", ""), gateway.settings.trusted_proxies
        self.client_address = addresses.client_address(peer, environ.get("HTTP_X_FORWARDED_FOR"), trusted)
        self.via_proxy = addresses.is_trusted(peer, trusted)
        self.query_string = environ.get("QUERY_STRING", "")
        self.admin: str | None = None
        self.spent: tuple[Limit, str] | None = None
        self.notes: dict[str, Any] | None = None

    @property
    def replayed(self) -> bool:
        """Whether the answer was given before, to an earlier request."""
        return self.notes is not None and self.notes.get("replayed") is True

    @property
    def answered_id(self) -> str:
        """The id of the request that the service's answer was first given to: this one's, or an earlier one's."""
        first = self.notes.get("request_id") if self.notes is not None and self.replayed else None
        return first or self.request_id


def of(request: Request) -> Visit:
    """The visit of `request`."""
    visit: Visit = request.env[ENVIRON_KEY]
    return visit


def services(request: Request, effect: Effect | None = None, **context: str) -> Shop:
    """The services, called on behalf of this request, to perform `effect`.

    Args:
        context: further headers that travel with the call.
    """
    visit = of(request)
    context["request_id"] = visit.request_id
    if effect is not None and effect.headers:
        context.update(effect.headers)
        visit.notes = {}
    return Shop(visit.gateway.shared, visit.gateway.deadlines, context, visit.notes)


def request_id(wanted: str | None) -> str:
    """The caller's `X-Request-ID` if it is valid, else a new one."""
    if wanted is not None and _REQUEST_ID.fullmatch(wanted):
        return wanted
    return uuid.uuid4().hex


def known(value: str, thing: str) -> str:
    """An id from a path. Raises NotFound for an impossible one, so that no service is asked about it."""
    if not ID.fullmatch(value):
        raise NotFound(f"There is no such {thing}.")
    return value


def is_id(value: object) -> bool:
    """Whether `value` has the form of an id."""
    return isinstance(value, str) and ID.fullmatch(value) is not None

"""One request beyond HTTP: its id, its query, and the process that serves it; and what routes ask of it."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from falcon import Request

from contracts.errors import NotFound
from gateway.rpc import Shop

if TYPE_CHECKING:
    from gateway.api import Gateway

ENVIRON_KEY = "shop.visit"
# What every id in this shop is made of, ours and the providers'. No dot and no slash: ids become parts of their URLs.
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Visit:
    """What the gateway knows of a request; put beside it by `gateway.api.Gateway`.

    Attributes:
        gateway: the process's settings and its connection to the services.
        request_id: the caller's, or one made here.
        query_string: the raw query. Hug never sees it, since it would let it override the path's parameters.
    """

    __slots__ = ("gateway", "query_string", "request_id")

    def __init__(self, gateway: Gateway, request_id: str, query_string: str) -> None:
        self.gateway = gateway
        self.request_id = request_id
        self.query_string = query_string


def of(request: Request) -> Visit:
    """The visit that `request` is."""
    visit: Visit = request.env[ENVIRON_KEY]
    return visit


def services(request: Request) -> Shop:
    """The services, called in the name of this request."""
    visit = of(request)
    return Shop(visit.gateway.client, visit.gateway.deadlines, visit.request_id)


def request_id(wanted: str | None) -> str:
    """The caller's `X-Request-ID` when it is sane, else a new one."""
    if wanted is not None and _REQUEST_ID.fullmatch(wanted):
        return wanted
    return uuid.uuid4().hex


def effect_key(request: Request) -> str:
    """The key under which a service does what this request asks for at most once."""
    return uuid.uuid4().hex


def known(value: str, thing: str) -> str:
    """An id out of a path. Raises NotFound for what cannot be one, so that no service is asked about it."""
    if not _ID.fullmatch(value):
        raise NotFound(f"There is no such {thing}.")
    return value


def is_id(value: object) -> bool:
    """Whether `value` has the shape of an id."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None

"""The OpenAPI document: the routes, what `operations` says of each, and what is the same for all of them."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson

from chassis.registry import name_of
from chassis.settings import Settings
from gateway import errors, schemas
from gateway.idempotency import HEADER as IDEMPOTENCY_KEY
from gateway.idempotency import VALUE as IDEMPOTENCY_KEY_PATTERN
from gateway.identity import CART_ID as CART_ID_PATTERN
from gateway.openapi.introduction import introduction, unwrapped
from gateway.openapi.objects import OBJECTS, Json, ref
from gateway.openapi.operations import (
    BEARER,
    CART,
    ORDER,
    PATH_SCHEMAS,
    READER,
    SENT,
    Operation,
    operations,
    parameter,
    query_parameters,
)
from gateway.order_access import HEADER as ORDER_TOKEN
from gateway.routing import BOUNDS, api

# The shop's release, as in pyproject.toml.
VERSION = "0.1.0"
# Answers, recorded from a shop.
EXAMPLES = Path(__file__).parent / "examples.json"
JSON = "application/json"
# What can be wrong with any request, and what can happen to any.
OF_EVERY_ROUTE = (400, 408, 413, 414, 431, 500, 503)
# What can become of a call to a service.
OF_A_CALL = (502, 504)
# A problem that is written by its route.
NOT_READY = ("not-ready", "The shop is not ready")
UNLIMITED = "/health/"
# What a problem's example shows beside what each problem has.
FACTS: dict[str, Json] = {
    "invalid-request": {"errors": {"address": {"city": ["required field"]}}},
    "payment-declined": {"code": "card_declined", "decline_code": "insufficient_funds"},
    "payment-action-required": {
        "client_secret": "pi_…_secret_…",
        "next_action": {
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": None, "url": "https://hooks.stripe.com/redirect/authenticate/…"},
        },
    },
    "idempotency-key-reused": {"errors": {IDEMPOTENCY_KEY: ["was used for another request"]}},
}

HEADERS: dict[str, Json] = {
    "X-Request-ID": {
        "description": "The request's own, or a generated one; it is in every log line of the request.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Idempotent-Replayed": {
        "description": "`true`: the answer to an earlier request with this `Idempotency-Key`, again.",
        "schema": {"const": "true"},
    },
    "Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    "RateLimit": {
        "description": "The limit that this request counted against: requests left, seconds until there is one more.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {"description": "The exhausted limit.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"schema": {"type": "string"}},
    "Location": {"description": "The URL of what was made.", "required": True, "schema": {"type": "string"}},
    "Link": {"description": 'The next page: `<…>; rel="next"`.', "schema": {"type": "string"}},
    "Set-Cookie": {
        "description": "`cart_id`: HttpOnly, SameSite=Lax; Secure behind TLS.",
        "required": True,
        "schema": {"type": "string"},
    },
}
REQUEST_ID: Json = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "At most 128 of `A-Z a-z 0-9 . _ -`; any other is replaced.",
    "schema": {"type": "string"},
}
ADMIN_KEY = "A key of the setting `ADMIN_API_KEYS`."
OPEN_TO_ALL = "For admins. It needs a key as soon as `ADMIN_API_KEYS` is set."
KEY: Json = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "description": "A UUID of your own for each action, such as `4f9c2a70-6f0e-4a53-9d0a-6a5a1f0b8f1e`. A repetition "
    "gets the first answer again, for two days. A 400, a 5xx, a 409 with `Retry-After` and a 402 "
    "`payment-action-required` are not kept.",
    "schema": {"type": "string", "pattern": f"^(?:{IDEMPOTENCY_KEY_PATTERN.pattern})$"},
}
TOKEN: Json = {
    "name": ORDER_TOKEN,
    "in": "header",
    "description": "The order's token, from its `status_url`; the parameter `token` does the same.",
    "schema": {"type": "string"},
}
# How each kind of caller shows who it is.
SHOWN_BY = {
    CART: ("Cart-Id",),
    ORDER: ("Cart-Id-or-key",),
    READER: ("Cart-Id-or-token", ORDER_TOKEN),
    BEARER: (ORDER_TOKEN,),
}


@dataclass(frozen=True)
class Variant:
    """What the settings change in the document: which requests need a key or a cart, whether the sandbox's test cards
    pay, and which webhooks there are."""

    admin_keys: bool
    cart_id_required: bool
    test_cards: bool
    in_use: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, settings: Settings) -> Variant:
        """The variant of a gateway with these settings."""
        in_use = settings.in_use
        test_cards = "stripe" in in_use["PAYMENT_PROVIDER"] and not settings.stripe.live
        return cls(bool(settings.admin_api_keys), settings.cart_id_required, test_cards, tuple(in_use.items()))


@functools.cache
def encoded(variant: Variant) -> bytes:
    """The document as JSON."""
    return orjson.dumps(build(variant))


def build(variant: Variant) -> Json:
    """The document, as Python's plain objects."""
    described = operations(schemas.payment(dict(variant.in_use)))
    paths: dict[str, Json] = {}
    for verb, url, route in _routes():
        operation = described[verb, url]
        admin = BOUNDS[url][verb].admin
        paths.setdefault(public(url), {})[verb.lower()] = _operation(verb, url, operation, admin, route, variant)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The shop",
            "version": VERSION,
            "description": introduction(variant.test_cards),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**OBJECTS, **SENT, "Document": {"type": "object", "description": "This document."}},
            "responses": {str(each.value): _failure(each.value) for each in HTTPStatus if problems(each.value)},
            "headers": HEADERS,
            "parameters": {
                "Cart-Id": _cart_parameter(variant),
                "Cart-Id-or-key": _cart_or_key_parameter(variant),
                "Cart-Id-or-token": _cart_or_token_parameter(variant),
                ORDER_TOKEN: TOKEN,
                IDEMPOTENCY_KEY: KEY,
                "X-Request-ID": REQUEST_ID,
            },
            "securitySchemes": {"adminKey": {"type": "http", "scheme": "bearer", "description": ADMIN_KEY}},
        },
    }


def public(url: str) -> str:
    """A route's path as the documentation writes it."""
    return url if re.search(r"\.\w+$|\{name\}$", url) else f"{url}/"


def problems(status: int) -> dict[str, str]:
    """The titles of the problems with `status`, by name."""
    found = [(kind.name, kind.title) for kind in (*errors.KINDS.values(), errors.BUG) if kind.status == status]
    found += [(each.name, each.title) for each in _refusals(errors.Refusal) if each.status == status]
    return dict([*found, *([NOT_READY] if status == 503 else [])])


def _routes() -> Iterator[tuple[str, str, Any]]:
    """Verb, path and Hug's interface of every route."""
    for urls in api.http.routes.values():
        for url, verbs in urls.items():
            for verb, versions in verbs.items():
                yield verb, url, versions[None]


def _refusals(kind: type[errors.Refusal]) -> Iterator[type[errors.Refusal]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _refusals(each)


def _operation(verb: str, url: str, operation: Operation, admin: bool, route: Any, variant: Variant) -> Json:
    function = route.interface.spec
    summary, _, further = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
    keys = variant.admin_keys
    found: Json = {
        "operationId": f"{function.__module__.rpartition('.')[2]}_{function.__name__}_{verb.lower()}",
        "tags": [operation.tag],
        "summary": " ".join(summary.split()),
        "parameters": _parameters(url, operation, variant),
        "responses": _responses(verb, url, operation, admin and keys, int(route.set_status[:3])),
    }
    if admin and not keys:
        further = f"{further}\n\n{OPEN_TO_ALL}"
    if further:
        found["description"] = unwrapped(further)
    if admin and keys:
        found["security"] = [{"adminKey": []}]
    elif operation.of in (ORDER, READER) and keys:
        found["security"] = [{}, {"adminKey": []}]
    if operation.body_schema is not None:
        media: Json = {"schema": operation.body_schema}
        if operation.example is not None:
            media["example"] = operation.example
        form = {} if operation.body_schema else {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}}
        found["requestBody"] = {"required": operation.needs_body, "content": {JSON: media, **form}}
    return found


def _parameters(url: str, operation: Operation, variant: Variant) -> list[Json]:
    found: list[Json] = []
    for name in re.findall(r"\{(\w+)\}", url):
        schema = PATH_SCHEMAS.get(name, PATH_SCHEMAS["id"])
        if name == "provider":
            schema = {"enum": sorted({name_of(each) for _, named in variant.in_use for each in named})}
        found.append(parameter(name, "path", schema, required=True))
    if operation.query is not None:
        found += query_parameters(operation.query)
    if operation.of in (READER, BEARER):
        found += query_parameters(schemas.ORDER_TOKEN)
    shared = [*SHOWN_BY.get(operation.of or "", ())]
    shared += [IDEMPOTENCY_KEY] if operation.keyed else []
    return found + [{"$ref": f"#/components/parameters/{name}"} for name in (*shared, "X-Request-ID")]


def _cart_parameter(variant: Variant) -> Json:
    otherwise = "is refused" if variant.cart_id_required else "shares one cart with every other such request"
    return {
        "name": "Cart-Id",
        "in": "header",
        "description": "The shopper's cart, issued by `POST /api/cart/`; the cookie `cart_id` does the same. "
        f"A request without one {otherwise}.",
        "required": variant.cart_id_required,
        "schema": {"type": "string", "pattern": f"^(?:{CART_ID_PATTERN.pattern})$"},
    }


def _cart_or_key_parameter(variant: Variant) -> Json:
    """The same, where an admin key does without."""
    if not variant.admin_keys:
        return _cart_parameter(variant)
    return {**_cart_parameter(variant), "required": False, "schema": {"type": "string"}}


def _cart_or_token_parameter(variant: Variant) -> Json:
    """The same, where the order's token, and an admin key, do without."""
    return {
        **_cart_parameter(variant),
        "description": "The cart that placed the order, as issued by `POST /api/cart/`; the cookie `cart_id` does the "
        "same. A request with the order's token needs none.",
        "required": False,
        "schema": {"type": "string"},
    }


def _responses(verb: str, url: str, operation: Operation, needs_key: bool, status: int) -> Json:
    calls = operation.tag != "About"
    failures = {*OF_EVERY_ROUTE, *operation.fails, *(OF_A_CALL if calls else ())}
    failures |= {429} if not url.startswith(UNLIMITED) else set()
    failures |= {404} if "{" in url else set()
    failures |= {401, 403} if needs_key else set()
    failures |= {403} if verb != "GET" else set()
    failures |= {415} if operation.body else set()
    failures |= {409, 422} if operation.keyed else set()
    headers = ("X-Request-ID", *operation.headers, *(["Idempotent-Replayed"] if operation.keyed else []))
    success = {
        "description": "Done.",
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in (*headers, "RateLimit")},
        "content": _content(operation),
    }
    return {
        str(status): success,
        **({} if operation.also is None else {str(operation.also): _accepted(success, operation)}),
        **{str(each): _refusal(each, operation.page) for each in sorted(failures)},
    }


def _accepted(success: Json, operation: Operation) -> Json:
    """The answer to a request that was accepted, and is not done yet."""
    content = {media: {"schema": each["schema"]} for media, each in _content(operation).items()}
    return {**success, "description": "Accepted.", "content": content}


def _refusal(status: int, page: bool) -> Json:
    """A failure of one route. That of a page is a page, unless no path could be read."""
    if not page:
        return {"$ref": f"#/components/responses/{status}"}
    shared = _failure(status)
    return {**shared, "content": {"text/html": {}, **shared["content"]}}


def _content(operation: Operation) -> Json:
    if "/" in operation.gives:
        return {media: {} for media in operation.gives.split(", ")}
    recorded = _examples().get(operation.shows or operation.gives)
    other: Json = {operation.or_as: {}} if operation.or_as else {}
    return {JSON: {"schema": ref(operation.gives), **({} if recorded is None else {"example": recorded})}, **other}


def _failure(status: int) -> Json:
    """The answer with this status of failure."""
    named = problems(status)
    headers = ["X-Request-ID", "Idempotent-Replayed"]
    headers += ["Retry-After"] if status in (409, 429, 502, 503, 504) else []
    headers += ["RateLimit-Policy", "RateLimit"] if status == 429 else []
    headers += ["WWW-Authenticate"] if status == 401 else []
    types = [f"urn:shop:problem:{each}" for each in named]
    examples = {
        name: {
            "summary": title,
            "value": {
                **errors.problem_body(status, name, title, f"{title}.", "8d654eab3cf749b18aabd67ad0b179b1"),
                **FACTS.get(name, {}),
            },
        }
        for name, title in named.items()
    }
    schema = {**ref("Problem"), "properties": {"status": {"const": status}, "type": {"enum": types}}}
    return {
        "description": f"{'; '.join(dict.fromkeys(named.values()))}.",
        "headers": {each: {"$ref": f"#/components/headers/{each}"} for each in headers},
        "content": {errors.PROBLEM: {"schema": schema, "examples": examples}},
    }


def _examples() -> Json:
    found: Json = orjson.loads(EXAMPLES.read_bytes())
    return found

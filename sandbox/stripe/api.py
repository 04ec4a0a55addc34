"""Stripe in the sandbox: keys, idempotency, dispatch. The endpoints are in the other modules of this package.

A publishable key may call only what Stripe.js calls; all else is 403 (https://docs.stripe.com/keys).
A 500 of an endpoint is saved under its idempotency key, and its effects are indeterminate. `Stripe-Should-Retry` says
what the status does not: "Advanced error handling", https://docs.stripe.com/error-low-level.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from sandbox import settings
from sandbox.ids import alphanumeric
from sandbox.provider import Answer, Call, Provider, Routes
from sandbox.state import State
from sandbox.stripe import (
    charges,
    confirmation_tokens,
    coupons,
    disputes,
    files,
    fraud_warnings,
    method_configurations,
    payment_intents,
    payment_methods,
    prices,
    products,
    promotion_codes,
    tax_calculations,
    tax_codes,
    tax_transactions,
)
from sandbox.stripe.endpoint import Desk, Endpoint, Key, Upload
from sandbox.stripe.errors import StripeFailure, invalid
from sandbox.stripe.form import flat, unfold
from sandbox.stripe.params import read_fields

API_VERSION = "2026-10-28.endive"
_SHOULD_RETRY = "Stripe-Should-Retry"
_VERSION = re.compile(r"20\d\d-\d\d-\d\d(\.[a-z]+)?")


class _Broken(NamedTuple):
    """An endpoint that answers 500 with this message; done: whether it has done its work before."""

    message: str
    done: bool


class Stripe(Provider):
    """Stripe's API, version 2026-10-28.endive: products, prices, payments, refunds, coupons, promotion codes, tax."""

    name = "stripe"

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._in_flight: set[str] = set()
        self._routes = Routes[Endpoint]()
        for module in (
            products,
            prices,
            payment_methods,
            method_configurations,
            confirmation_tokens,
            payment_intents,
            charges,
            disputes,
            files,
            fraud_warnings,
            coupons,
            promotion_codes,
            tax_codes,
            tax_calculations,
            tax_transactions,
        ):
            for endpoint in module.ENDPOINTS:
                self._routes.add(endpoint.method, endpoint.path, endpoint)

    def routes(self) -> list[tuple[str, str]]:
        return self._routes.table()

    def refuse(self, call: Call) -> Answer | None:
        key = _key(call.headers.get("Authorization", ""))
        if key == settings.STRIPE_KEY:
            return None
        if key == settings.STRIPE_PUBLISHABLE_KEY:
            endpoint, _, _ = self._routes.find(call.method, call.path)
            allowed = endpoint is not None and "publishable" in endpoint.keys
            return None if allowed else self._refusal(_secret_key_required())
        if key is None:
            message = (
                "You did not provide an API key. You need to provide your API key in the Authorization header, "
                "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See "
                "https://docs.stripe.com/api#authentication for details."
            )
        else:
            message = f"Invalid API Key provided: {_masked(key)}"
        return self._refusal(StripeFailure(message, status=401), {"WWW-Authenticate": 'Basic realm="Stripe"'})

    def hold(self, call: Call) -> Answer | None:
        key = _idempotency_key(call)
        if key is None:
            return None
        if key in self._in_flight:
            return self._refusal(
                StripeFailure(
                    "There is currently another in-progress request using this Idempotent Key (that probably means you "
                    "submitted twice, and the other request is still going through): "
                    f"{key}. Please try again later.",
                    status=409,
                    kind="idempotency_error",
                    code="idempotency_key_in_use",
                ),
                {_SHOULD_RETRY: "true"},
            )
        self._in_flight.add(key)
        return None

    def release(self, call: Call) -> None:
        key = _idempotency_key(call)
        if key is not None:
            self._in_flight.discard(key)

    def answer(self, call: Call) -> Answer:
        return self._answer(call, None)

    def saved_error(self, call: Call, message: str, *, done: bool) -> Answer:
        return self._answer(call, _Broken(message, done))

    def _answer(self, call: Call, broken: _Broken | None) -> Answer:
        request_id = alphanumeric("req_", 14)
        try:
            return self._perform(call, request_id, broken)
        except StripeFailure as failure:
            return self._refusal(failure, request_id=request_id)

    def failure(self, status: int, message: str) -> Answer:
        kind, code = "api_error", None
        if status == 429:
            kind, code = "invalid_request_error", "rate_limit"
        elif status < 500:
            kind = "invalid_request_error"
        # Nothing is done or saved after these: the call may be repeated.
        headers = {_SHOULD_RETRY: "true"} if status >= 500 else None
        return self._refusal(StripeFailure(message, status=status, kind=kind, code=code), headers)

    def _perform(self, call: Call, request_id: str, broken: _Broken | None) -> Answer:
        version = call.headers.get("Stripe-Version", API_VERSION)
        if not _VERSION.fullmatch(version):
            raise invalid(f"Invalid Stripe API version: {version[:40]}")
        endpoint, arguments, methods = self._routes.find(call.method, call.path)
        key_kind: Key = "publishable" if _is_publishable(call) else "secret"
        if endpoint is None or key_kind not in endpoint.keys:
            raise _no_route(call, methods)
        pairs, upload = _pairs(call)
        parameters = unfold(pairs)
        desk = Desk(self.state, call.public_url, upload, key_kind == "publishable")
        if call.method == "GET":
            return _answer(200, _run(endpoint, desk, arguments, parameters, broken), request_id)
        key = _idempotency_key(call)
        fingerprint = _fingerprint(call.path, parameters, upload)
        if key is not None:
            if len(key) > 255:
                raise invalid(f"Idempotency keys can be at most 255 characters long; yours has {len(key)}.")
            known = self.state.recall_answer(key)
            if known is not None:
                return _replay(key, known, fingerprint)
        with self.state.transaction((request_id, key)):
            status = 200
            try:
                body = _run(endpoint, desk, arguments, parameters, broken)
            except StripeFailure as failure:
                if not failure.keep:
                    raise
                # What a decline has written (the failed charge, the intent's last error) is kept.
                status, body = failure.status, orjson.dumps(failure.body(request_id))
            if key is not None:
                self.state.keep_answer(key, fingerprint, status, body, request_id)
        headers = {} if key is None else {"Idempotency-Key": key, "Original-Request": request_id, **_no_retry(status)}
        return _answer(status, body, request_id, headers)

    def _refusal(
        self, failure: StripeFailure, headers: dict[str, str] | None = None, request_id: str | None = None
    ) -> Answer:
        request_id = request_id or alphanumeric("req_", 14)
        return _answer(failure.status, orjson.dumps(failure.body(request_id)), request_id, headers)


def _run(
    endpoint: Endpoint, desk: Desk, arguments: dict[str, str], parameters: dict[str, Any], broken: _Broken | None
) -> bytes:
    """Run an endpoint; when it is broken, StripeFailure (500) after its work, or before it for a valid request."""
    if broken is None:
        return endpoint.run(desk, arguments, parameters)
    if not broken.done:
        read_fields(endpoint.fields, parameters)
    else:
        try:
            endpoint.run(desk, arguments, parameters)
        except StripeFailure as failure:
            if not failure.keep:
                raise
    raise StripeFailure(broken.message, status=500, kind="api_error")


def _no_retry(status: int) -> dict[str, str]:
    """Return the header of a saved error: a repetition would be answered the same."""
    return {_SHOULD_RETRY: "false"} if status >= 400 else {}


def _answer(status: int, body: bytes, request_id: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer(
        status,
        body,
        {
            "Content-Type": "application/json",
            "Request-Id": request_id,
            "Stripe-Version": API_VERSION,
            **(headers or {}),
        },
    )


def _replay(key: str, known: tuple[str, int, bytes, str], fingerprint: str) -> Answer:
    known_fingerprint, status, body, request_id = known
    if known_fingerprint != fingerprint:
        raise StripeFailure(
            "Keys for idempotent requests can only be used with the same parameters they were first used with. Try "
            f"using a key other than '{key}' if you meant to execute a different request.",
            kind="idempotency_error",
        )
    headers = {
        "Idempotency-Key": key,
        "Idempotent-Replayed": "true",
        "Original-Request": request_id,
        **_no_retry(status),
    }
    return _answer(status, body, request_id, headers)


def _is_publishable(call: Call) -> bool:
    return _key(call.headers.get("Authorization", "")) == settings.STRIPE_PUBLISHABLE_KEY


def _secret_key_required() -> StripeFailure:
    """The error of a call that a publishable key may not make: https://docs.stripe.com/error-codes."""
    return StripeFailure(
        "This API call cannot be made with a publishable API key. Please use a secret API key. You can find a list of "
        "your API keys at https://dashboard.stripe.com/account/apikeys.",
        status=403,
        code="secret_key_required",
    )


def _no_route(call: Call, methods: list[str]) -> StripeFailure:
    message = f"Unrecognized request URL ({call.method}: {call.path})."
    if methods:
        message += f" This URL takes {', '.join(methods)}."
    return StripeFailure(message, status=404, keep=False)


def _pairs(call: Call) -> tuple[list[tuple[str, str]], Upload | None]:
    """Return the parameters of the query and the body, and the file of a multipart body."""
    pairs = call.query_pairs()
    if call.method == "GET" or not call.body:
        return pairs, None
    content_type = call.headers.get("Content-Type", "application/x-www-form-urlencoded")
    if content_type.startswith("multipart/form-data"):
        form, upload = files.read_upload(content_type, call.body)
        return pairs + form, upload
    if "form" not in content_type:
        raise invalid("Invalid request: the body must be of the content type application/x-www-form-urlencoded.")
    try:
        return pairs + parse_qsl(call.body.decode(), keep_blank_values=True, errors="strict"), None
    except (UnicodeDecodeError, ValueError):
        raise invalid("Invalid request: the body is not UTF-8.") from None


def _idempotency_key(call: Call) -> str | None:
    return call.headers.get("Idempotency-Key") if call.method == "POST" else None


def _fingerprint(path: str, parameters: dict[str, object], upload: Upload | None) -> str:
    content = b"" if upload is None else upload.content
    return hashlib.sha256(repr((path, flat(parameters))).encode() + content).hexdigest()


def _key(authorization: str) -> str | None:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() == "basic":
        try:
            user, _, _ = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return user or None
    return None


def _masked(key: str) -> str:
    return key if len(key) <= 8 else f"{key[:3]}{'*' * 8}{key[-4:]}"

"""Stripe's errors, in Stripe's format."""

from __future__ import annotations

from typing import Any

_DOCS = "https://docs.stripe.com/error-codes/"
_LOG = "https://dashboard.stripe.com/test/workbench/logs?object="


class StripeFailure(Exception):
    """A call that Stripe rejects.

    status: the HTTP status. kind: the error's `type`. keep: whether the answer is stored under the idempotency key
    (Stripe stores the answers of its endpoints, but not of the parameter validation).
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        keep: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.keep = keep
        self.error: dict[str, Any] = {"message": message, "type": kind}
        if code is not None:
            self.error |= {"code": code, "doc_url": _DOCS + code.replace("_", "-")}
        if param is not None:
            self.error["param"] = param
        self.error |= {name: value for name, value in more.items() if value is not None}

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the JSON body of the answer."""
        return {"error": {**self.error, "request_log_url": _LOG + request_id}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeFailure:
    """A parameter that fails Stripe's validation; not stored under the idempotency key."""
    return StripeFailure(message, param=param, code=code, keep=False)


def missing_object(noun: str, object_id: str, *, param: str = "id", in_path: bool = True) -> StripeFailure:
    """An object that does not exist: 404 when the path names it, 400 when a parameter does."""
    return StripeFailure(
        f"No such {noun}: '{object_id}'", status=404 if in_path else 400, code="resource_missing", param=param
    )


def unexpected_state(message: str, payment_intent: dict[str, Any]) -> StripeFailure:
    """The status of a payment intent forbids the request."""
    return StripeFailure(message, code="payment_intent_unexpected_state", payment_intent=payment_intent)

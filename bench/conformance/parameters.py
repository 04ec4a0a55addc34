"""Stripe's request parameters: each one that its SDK documents is sent once, and each with a wrong value.

A parameter is known when the sandbox takes it, or refuses its value as Stripe would: such as the id of a customer that
does not exist.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.conformance.exchanges import Caller, Exchange
from bench.conformance.stripe_types import Tools
from bench.conformance.tour_stripe import ADDRESS, MANUAL

SCRIPT = Path(__file__).with_name("parameters.cjs")
SCRIPT_TIMEOUT_S = 120
UNKNOWN = ("parameter_unknown", "payment_method_types_no_longer_supported")
# Values of parameters that a text would not do for, by name.
_SAMPLES: dict[str, Any] = {
    "currency": "usd",
    "minimum_amount_currency": "usd",
    "country": "US",
    "state": "CA",
    "postal_code": "95122",
    "email": "chloe@example.com",
    "receipt_email": "chloe@example.com",
    "url": "https://example.com",
    "return_url": "https://example.com",
    "images": "https://example.com/a.jpg",
    "tax_code": "txcd_99999999",
    "unit_amount_decimal": "1.5",
    "percent_off": 5,
    "query": "name:'a'",
    "flat_amount": -1,
    "limit": 5,
    "duration_in_months": 3,
}
_NEVER = "no_such_value"

Form = dict[str, Any]


@dataclass
class Result:
    """What became of the parameters.

    Attributes:
        operations, known, unknown: how many operations were tried, which parameters are known and which are not.
        values: documented values that are refused.
        loose: wrong values that are accepted, and unset values that are not as documented.
    """

    operations: int = 0
    known: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Operation:
    """One operation of Stripe's: the TypeScript type of its parameters, and a request without a further parameter.

    Attributes:
        prepare: makes what the request needs; returns its path and its required parameters.
    """

    method: str
    type: str
    prepare: Callable[[Caller], tuple[str, Form]]


def _made(stripe: Caller, path: str, form: Form) -> str:
    exchange = stripe.ask("POST", f"/v1{path}", form=form)
    if exchange.status >= 400:
        raise RuntimeError(f"{exchange}: {exchange.text}")
    return str(exchange.body["id"])


def _fixed(path: str, form: Form | None = None) -> Callable[[Caller], tuple[str, Form]]:
    return lambda stripe: (path, dict(form or {}))


def _of(collection: str, form: Form, suffix: str = "", own: Form | None = None) -> Callable[[Caller], tuple[str, Form]]:
    """Make an object of a collection, and address it."""
    return lambda stripe: (f"{collection}/{_made(stripe, collection, form)}{suffix}", dict(own or {}))


_OPEN: Form = {"amount": 500, "currency": "usd", **MANUAL}
_METHOD: Form = {"payment_method": "pm_card_visa"}
_PAID: Form = {**_OPEN, **_METHOD, "confirm": True}
_HELD: Form = {**_PAID, "capture_method": "manual"}
_CARD: Form = {"type": "card", "card": {"token": "tok_visa"}}
_TOKENS = "/test_helpers/confirmation_tokens"
_LINES: Form = {
    "currency": "usd",
    "line_items": [{"amount": 100, "reference": "a"}],
    "customer_details": {"address": ADDRESS, "address_source": "shipping"},
}


def _refundable(stripe: Caller) -> tuple[str, Form]:
    return "/refunds", {"payment_intent": _made(stripe, "/payment_intents", _PAID)}


def _refund(stripe: Caller) -> tuple[str, Form]:
    return f"/refunds/{_made(stripe, *_refundable(stripe))}", {}


def _charge(stripe: Caller) -> tuple[str, Form]:
    intent = stripe.ask("POST", "/v1/payment_intents", form=_PAID).body
    return f"/charges/{intent['latest_charge']}", {}


def _token(stripe: Caller) -> tuple[str, Form]:
    return f"/confirmation_tokens/{_made(stripe, _TOKENS, _METHOD)}", {}


def _price(stripe: Caller) -> tuple[str, Form]:
    return "/prices", {"product": _made(stripe, "/products", {"name": "a"}), "currency": "usd", "unit_amount": 1}


def _one_price(stripe: Caller) -> tuple[str, Form]:
    return f"/prices/{_made(stripe, *_price(stripe))}", {}


def _promotion_code(stripe: Caller) -> tuple[str, Form]:
    coupon = _made(stripe, "/coupons", {"percent_off": 5})
    return "/promotion_codes", {"promotion": {"type": "coupon", "coupon": coupon}}


def _one_promotion_code(stripe: Caller) -> tuple[str, Form]:
    return f"/promotion_codes/{_made(stripe, *_promotion_code(stripe))}", {}


def _dispute(suffix: str) -> Callable[[Caller], tuple[str, Form]]:
    def prepare(stripe: Caller) -> tuple[str, Form]:
        intent = _made(stripe, "/payment_intents", {**_PAID, "payment_method": "pm_card_createDispute"})
        found = stripe.ask("GET", "/v1/disputes", query={"payment_intent": intent}).body["data"]
        return f"/disputes/{found[0]['id']}{suffix}", {}

    return prepare


def _reference() -> str:
    return f"ref-{time.monotonic_ns()}"


def _sale(stripe: Caller) -> tuple[str, Form]:
    calculation = _made(stripe, "/tax/calculations", _LINES)
    return "/tax/transactions/create_from_calculation", {"calculation": calculation, "reference": _reference()}


def _reversal(stripe: Caller) -> tuple[str, Form]:
    own: Form = {"mode": "full", "original_transaction": _made(stripe, *_sale(stripe)), "reference": _reference()}
    return "/tax/transactions/create_reversal", own


def _tax_lines(stripe: Caller) -> tuple[str, Form]:
    return f"/tax/transactions/{_made(stripe, *_sale(stripe))}/line_items", {}


OPERATIONS = (
    Operation("POST", "ProductCreateParams", _fixed("/products", {"name": "a"})),
    Operation("POST", "ProductUpdateParams", _of("/products", {"name": "a"})),
    Operation("GET", "ProductRetrieveParams", _of("/products", {"name": "a"})),
    Operation("GET", "ProductListParams", _fixed("/products")),
    Operation("GET", "ProductSearchParams", _fixed("/products/search", {"query": "name:'a'"})),
    Operation("DELETE", "ProductDeleteParams", _of("/products", {"name": "a"})),
    Operation("POST", "PriceCreateParams", _price),
    Operation("POST", "PriceUpdateParams", _one_price),
    Operation("GET", "PriceRetrieveParams", _one_price),
    Operation("GET", "PriceListParams", _fixed("/prices")),
    Operation("POST", "PaymentMethodCreateParams", _fixed("/payment_methods", _CARD)),
    Operation("POST", "PaymentMethodUpdateParams", _of("/payment_methods", _CARD)),
    Operation("POST", "PaymentIntentCreateParams", _fixed("/payment_intents", _OPEN)),
    Operation("POST", "PaymentIntentUpdateParams", _of("/payment_intents", _OPEN)),
    Operation("POST", "PaymentIntentConfirmParams", _of("/payment_intents", _OPEN, "/confirm", _METHOD)),
    Operation("POST", "PaymentIntentCaptureParams", _of("/payment_intents", _HELD, "/capture")),
    Operation("POST", "PaymentIntentCancelParams", _of("/payment_intents", _OPEN, "/cancel")),
    Operation("GET", "PaymentIntentRetrieveParams", _of("/payment_intents", _OPEN)),
    Operation("GET", "PaymentIntentListParams", _fixed("/payment_intents")),
    Operation("POST", "TestHelpers.ConfirmationTokenCreateParams", _fixed(_TOKENS, _METHOD)),
    Operation("POST", "RefundCreateParams", _refundable),
    Operation("POST", "RefundUpdateParams", _refund),
    Operation("GET", "RefundRetrieveParams", _refund),
    Operation("GET", "RefundListParams", _fixed("/refunds")),
    Operation("POST", "ChargeUpdateParams", _charge),
    Operation("GET", "ChargeListParams", _fixed("/charges")),
    Operation("GET", "ConfirmationTokenRetrieveParams", _token),
    Operation("GET", "PaymentMethodConfigurationListParams", _fixed("/payment_method_configurations")),
    Operation("POST", "DisputeUpdateParams", _dispute("")),
    Operation("POST", "DisputeCloseParams", _dispute("/close")),
    Operation("GET", "DisputeListParams", _fixed("/disputes")),
    Operation("GET", "Radar.EarlyFraudWarningListParams", _fixed("/radar/early_fraud_warnings")),
    Operation("GET", "FileListParams", _fixed("/files")),
    Operation("POST", "CouponCreateParams", _fixed("/coupons", {"percent_off": 5})),
    Operation("POST", "CouponUpdateParams", _of("/coupons", {"percent_off": 5})),
    Operation("DELETE", "CouponDeleteParams", _of("/coupons", {"percent_off": 5})),
    Operation("GET", "CouponListParams", _fixed("/coupons")),
    Operation("POST", "PromotionCodeCreateParams", _promotion_code),
    Operation("POST", "PromotionCodeUpdateParams", _one_promotion_code),
    Operation("GET", "PromotionCodeRetrieveParams", _one_promotion_code),
    Operation("GET", "PromotionCodeListParams", _fixed("/promotion_codes")),
    Operation("POST", "Tax.CalculationCreateParams", _fixed("/tax/calculations", _LINES)),
    Operation("POST", "Tax.TransactionCreateFromCalculationParams", _sale),
    Operation("POST", "Tax.TransactionCreateReversalParams", _reversal),
    Operation("GET", "Tax.TransactionListLineItemsParams", _tax_lines),
    Operation("GET", "TaxCodeListParams", _fixed("/tax_codes")),
    Operation("GET", "Tax.SettingsRetrieveParams", _fixed("/tax/settings")),
)  # fmt: skip


def documented(tools: Tools) -> dict[str, Any]:
    """Return the tree of each operation's parameters, as Stripe's SDK documents them."""
    command = [tools.node, str(SCRIPT), *(operation.type for operation in OPERATIONS)]
    options: Any = {"capture_output": True, "text": True, "timeout": SCRIPT_TIMEOUT_S, "check": True}
    done = subprocess.run(command, cwd=tools.folder, **options)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(stripe: Caller, trees: dict[str, Any]) -> Result:
    """Send every documented parameter to the sandbox."""
    result = Result()
    for operation in OPERATIONS:
        result.operations += 1
        stripe.chapter = operation.type
        tree = trees[operation.type]
        if _send(stripe, operation, ["no_such_parameter"], "1").status < 400:
            result.loose.append(f"{operation.type}: an unknown parameter is accepted")
        _walk(stripe, operation, tree["fields"], [], result)
    return result


def _within(operation: Operation, path: Sequence[str], node: dict[str, Any]) -> Operation:
    """Return the operation with what an object at this path requires."""
    required = {name: _sample(each, name) for name, each in node["fields"].items() if not each["optional"]}

    def prepare(stripe: Caller) -> tuple[str, Form]:
        where, form = operation.prepare(stripe)
        form = json.loads(json.dumps(form))
        for name, value in required.items():
            if not _has(form, [*path, name]):
                _put(form, [*path, name], value)
        return where, form

    return replace(operation, prepare=prepare)


def _has(form: Any, path: Sequence[str]) -> bool:
    for step in path:
        if isinstance(form, list) and form:
            form = form[0]
        elif isinstance(form, dict) and step in form:
            form = form[step]
        else:
            return False
    return True


def _walk(stripe: Caller, operation: Operation, fields: dict[str, Any], above: Sequence[str], result: Result) -> None:
    for name, node in fields.items():
        path = [*above, name]
        shown = f"{operation.type}: {'.'.join(path)}"
        sample = _sample(node, name)
        answer = _send(stripe, operation, path, sample)
        if answer.status >= 500:
            result.loose.append(f"{shown}: {answer.status}")
            continue
        if _code(answer) in UNKNOWN and _param(answer) == _bracketed(path):
            result.unknown.append(shown)
            continue
        result.known.append(shown)
        if _refuses_value(answer, node, path):
            result.values.append(f"{shown}={sample}")
        if answer.status < 400:
            _try_wrong(stripe, operation, path, node, shown, result)
        inner = node["item"] if node["kind"] == "array" else node
        if inner["kind"] == "object":
            step = [*path, "0"] if node["kind"] == "array" else path
            _walk(stripe, _within(operation, step, inner), inner["fields"], step, result)


def _try_wrong(
    stripe: Caller, operation: Operation, path: Sequence[str], node: dict[str, Any], shown: str, result: Result
) -> None:
    """Send every other value of an enum, a value of another type, and an empty one."""
    for value in node.get("values", [])[1:]:
        if _refuses_value(_send(stripe, operation, path, value), node, path):
            result.values.append(f"{shown}={value}")
    for wrong in _wrong(node):
        if _send(stripe, operation, path, wrong).status < 400:
            result.loose.append(f"{shown}: {wrong!r} is accepted")
    if node["kind"] in ("text", "number", "boolean", "enum"):
        accepted = _send(stripe, operation, path, "").status < 400
        if accepted != bool(node["empty"]):
            result.loose.append(f"{shown}: an empty value is {'accepted' if accepted else 'refused'}")


def _wrong(node: dict[str, Any]) -> Iterator[Any]:
    kind = node["kind"]
    if kind in ("number", "boolean", "enum", "array", "map") or (kind == "object" and not node.get("scalar")):
        yield _NEVER
    if kind == "text":
        yield {"a": "b"}


def _code(answer: Exchange) -> str | None:
    code: str | None = (answer.body or {}).get("error", {}).get("code") if answer.status >= 400 else None
    return code


def _param(answer: Exchange) -> str:
    return str(answer.body["error"].get("param"))


def _bracketed(path: Sequence[str]) -> str:
    return path[0] + "".join(f"[{step}]" for step in path[1:])


def _refuses_value(answer: Exchange, node: dict[str, Any], path: Sequence[str]) -> bool:
    if answer.status < 400 or node["kind"] != "enum":
        return False
    return "must be one of" in answer.body["error"]["message"] and _param(answer) == _bracketed(path)


def _send(stripe: Caller, operation: Operation, path: Sequence[str], value: Any) -> Exchange:
    where, form = operation.prepare(stripe)
    form = json.loads(json.dumps(form))
    _put(form, path, value)
    if operation.method == "GET":
        return stripe.ask("GET", f"/v1{where}", query=form)
    return stripe.ask(operation.method, f"/v1{where}", form=form)


def _put(form: Any, path: Sequence[str], value: Any) -> None:
    """Set a parameter of a form. Another parameter of the same name that is no object gives way."""
    for place, step in enumerate(path[:-1]):
        key: Any = int(step) if isinstance(form, list) else step
        following: Any = [] if path[place + 1] == "0" else {}
        if isinstance(form, list):
            if not form:
                form.append(following)
            if not isinstance(form[0], dict | list):
                form[0] = following
        elif not isinstance(form.get(key), dict | list):
            form[key] = following
        form = form[key]
    if isinstance(form, list):
        form[:] = [value]
    else:
        form[path[-1]] = value


def _sample(node: dict[str, Any], name: str) -> Any:
    """Return a value of a parameter: of an object, what is required."""
    kind = node["kind"]
    if name in _SAMPLES and kind in ("text", "number", "enum", "decimal"):
        return _SAMPLES[name]
    if name == "type" and "blik" in node.get("values", ()):
        return "card"  # the SDK's type of `payment_method_data` lacks it, but Stripe takes it
    if kind == "enum":
        return node["values"][0]
    if kind == "number":
        return int(time.time()) + 86400 if name.endswith(("_at", "_by", "_date")) else 1
    if kind == "boolean":
        return True
    if kind == "array":
        return [_sample(node["item"], name)]
    if kind == "map":
        return {"a": _sample(node["item"], name)}
    if kind == "object":
        required = {key: _sample(each, key) for key, each in node["fields"].items() if not each["optional"]}
        if required or not node["fields"]:
            return required or "text"
        first = next(iter(node["fields"]))
        return {first: _sample(node["fields"][first], first)}
    return "text"

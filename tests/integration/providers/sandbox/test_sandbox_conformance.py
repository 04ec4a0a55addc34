"""The sandbox's answers and parameters match the types in the providers' own SDKs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import stripe
from stripe import params as stripe_params
from twilio.rest.api.v2010.account.message import MessageInstance

from sandbox.stripe import (
    charges,
    confirmation_tokens,
    coupons,
    disputes,
    files,
    fraud_warnings,
    payment_intents,
    payment_methods,
    prices,
    products,
    promotion_codes,
    tax_calculations,
    tax_codes,
    tax_transactions,
)
from sandbox.stripe import params as types
from sandbox.twilio import api as sandbox_twilio
from sandbox.twilio import delivery
from tests.integration.providers.sandbox.process import Sdks
from tests.integration.providers.sandbox.shapes import Parameter, body_problems, parameters

KEY = {"Authorization": "Bearer sk_sandbox"}
CLASSES = {
    "product": stripe.Product,
    "price": stripe.Price,
    "payment_method": stripe.PaymentMethod,
    "confirmation_token": stripe.ConfirmationToken,
    "payment_intent": stripe.PaymentIntent,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "dispute": stripe.Dispute,
    "radar.early_fraud_warning": stripe.radar.EarlyFraudWarning,
    "coupon": stripe.Coupon,
    "promotion_code": stripe.PromotionCode,
    "tax_code": stripe.TaxCode,
    "tax.settings": stripe.tax.Settings,
    "tax.calculation": stripe.tax.Calculation,
    "tax.transaction": stripe.tax.Transaction,
}


def ask(sdks: Sdks, method: str, path: str, **form: Any) -> dict[str, Any]:
    """Call the sandbox without the SDK; return the JSON body as sent."""
    if method == "GET":
        answer = sdks.get(f"/stripe{path}", params=form, headers=KEY)
    else:
        answer = sdks.post(f"/stripe{path}", data=form, headers=KEY)
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture(scope="module")
def bodies(sdks: Sdks) -> dict[str, dict[str, Any]]:
    """Return one body of every object type and every status, keyed by a name."""
    automatic = {"automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never"}
    intent = {"amount": "446", "currency": "usd", "metadata[order_id]": "or_conformance", **automatic}
    sized = {f"package_dimensions[{side}]": "5" for side in ("height", "length", "weight", "width")}
    found = {
        "product": ask(sdks, "POST", "/v1/products", name="Wally", **sized, **{"images[0]": "https://a.example/1.png"}),
        "bare product": ask(sdks, "POST", "/v1/products", name="Bare"),
    }
    product = found["product"]["id"]
    found["price"] = ask(
        sdks, "POST", "/v1/prices", product=product, currency="usd", unit_amount="50", lookup_key=product
    )
    found["decimal price"] = ask(
        sdks, "POST", "/v1/prices", product=product, currency="usd", unit_amount_decimal="50.25"
    )
    found["payment_method"] = ask(
        sdks,
        "POST",
        "/v1/payment_methods",
        type="card",
        **{"card[token]": "tok_mastercard", "billing_details[name]": "A"},
    )
    found["confirmation_token"] = ask(
        sdks, "POST", "/v1/test_helpers/confirmation_tokens",
        **{"payment_method": "pm_card_visa", "shipping[name]": "A", "shipping[address][line1]": "1 Way"},
    )  # fmt: skip
    found["confirmation_token of a bank account"] = ask(
        sdks, "POST", "/v1/test_helpers/confirmation_tokens", payment_method="pm_usBankAccount_success"
    )
    found["coupon"] = ask(sdks, "POST", "/v1/coupons", percent_off="25.5")
    found["amount coupon"] = ask(sdks, "POST", "/v1/coupons", amount_off="100", currency="usd", name="One off")
    found["promotion_code"] = ask(
        sdks, "POST", "/v1/promotion_codes",
        **{"promotion[type]": "coupon", "promotion[coupon]": found["coupon"]["id"], "expand[0]": "promotion.coupon"},
    )  # fmt: skip
    assert found["promotion_code"]["promotion"]["coupon"]["object"] == "coupon"
    found |= tax_bodies(sdks)
    found |= dispute_bodies(sdks, intent)
    found["requires_payment_method"] = ask(
        sdks, "POST", "/v1/payment_intents", **intent,
        **{"shipping[name]": "A", "shipping[address][line1]": "1 Way", "receipt_email": "a@example.com"},
    )  # fmt: skip
    found["requires_confirmation"] = ask(
        sdks, "POST", "/v1/payment_intents", payment_method=found["payment_method"]["id"], **intent
    )
    for name, more in {
        "succeeded": {"payment_method": "pm_card_visa", "confirm": "true"},
        "requires_capture": {"payment_method": "pm_card_visa", "confirm": "true", "capture_method": "manual"},
        "requires_action": {"payment_method": "pm_card_authenticationRequired", "confirm": "true"},
        "processing": {"payment_method": "pm_usBankAccount_success", "confirm": "true"},
    }.items():
        found[name] = ask(sdks, "POST", "/v1/payment_intents", **intent, **more)
        assert found[name]["status"] == name
    found["use_stripe_sdk"] = ask(
        sdks, "POST", "/v1/payment_intents", payment_method="pm_card_authenticationRequired", confirm="true",
        use_stripe_sdk="true", **intent,
    )  # fmt: skip
    assert found["use_stripe_sdk"]["next_action"]["type"] == "use_stripe_sdk"
    refusal = ask(
        sdks, "POST", "/v1/payment_intents", payment_method="pm_card_chargeDeclined", confirm="true", **intent
    )
    found["declined"] = refusal["error"]["payment_intent"]
    refusal = ask(sdks, "POST", "/v1/payment_intents", payment_method="pm_card_radarBlock", confirm="true", **intent)
    found["blocked charge"] = ask(sdks, "GET", f"/v1/charges/{refusal['error']['charge']}")
    found["allowed types"] = ask(
        sdks, "POST", "/v1/payment_intents", amount="60", currency="eur", **{"allowed_payment_method_types[0]": "card"}
    )
    found["canceled"] = ask(sdks, "POST", f"/v1/payment_intents/{found['requires_capture']['id']}/cancel")
    for name in ("succeeded", "declined", "requires_capture", "processing"):
        found[f"charge of {name}"] = ask(sdks, "GET", f"/v1/charges/{found[name]['latest_charge']}")
    found["refund"] = ask(sdks, "POST", "/v1/refunds", payment_intent=found["succeeded"]["id"], amount="100")
    found["refunded charge"] = ask(sdks, "GET", f"/v1/charges/{found['succeeded']['latest_charge']}")
    found["expanded"] = ask(
        sdks, "GET", f"/v1/payment_intents/{found['succeeded']['id']}",
        **{"expand[0]": "latest_charge", "expand[1]": "payment_method"},
    )  # fmt: skip
    assert found["expanded"]["latest_charge"]["object"] == "charge"
    assert found["expanded"]["payment_method"]["object"] == "payment_method"
    return found


def dispute_bodies(sdks: Sdks, intent: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return an inquiry, a chargeback, a won dispute, and an early fraud warning."""
    found = {}
    for name, card in {"inquiry": "createDisputeInquiry", "chargeback": "createDispute"}.items():
        paid = ask(sdks, "POST", "/v1/payment_intents", payment_method=f"pm_card_{card}", confirm="true", **intent)
        found[name] = ask(sdks, "GET", "/v1/disputes", payment_intent=paid["id"])["data"][0]
    ask(
        sdks, "POST", f"/v1/disputes/{found['chargeback']['id']}",
        **{"evidence[uncategorized_text]": "winning_evidence"},
    )  # fmt: skip
    found["won dispute"] = ask(
        sdks, "GET", f"/v1/disputes/{found['chargeback']['id']}",
        **{"expand[0]": "charge", "expand[1]": "payment_intent"},
    )  # fmt: skip
    assert found["won dispute"]["charge"]["object"] == "charge"
    card = "pm_card_createIssuerFraudRecord"
    paid = ask(sdks, "POST", "/v1/payment_intents", payment_method=card, confirm="true", **intent)
    found["warning"] = ask(sdks, "GET", "/v1/radar/early_fraud_warnings", payment_intent=paid["id"])["data"][0]
    return found


def tax_bodies(sdks: Sdks) -> dict[str, dict[str, Any]]:
    """Return a tax code, the settings, a bare and an expanded calculation, a sale and its reversal."""
    customer = {"customer_details[address][country]": "DE", "customer_details[address_source]": "shipping"}
    sold = {"currency": "eur", "line_items[0][amount]": "1000", "shipping_cost[amount]": "300", **customer}
    lines, breakdown = "line_items", "tax_breakdown"
    found = {
        "tax code": ask(sdks, "GET", "/v1/tax_codes/txcd_99999999"),
        "tax settings": ask(sdks, "GET", "/v1/tax/settings"),
        "bare calculation": ask(sdks, "POST", "/v1/tax/calculations", **sold),
        "calculation": ask(
            sdks, "POST", "/v1/tax/calculations", **sold,
            **{"expand[0]": f"{lines}.data.{breakdown}", "expand[1]": f"shipping_cost.{breakdown}",
               "ship_from_details[address][country]": "US", "customer_details[tax_ids][0][type]": "eu_vat",
               "customer_details[tax_ids][0][value]": "DE1", "line_items[0][metadata][a]": "1"},
        ),
    }  # fmt: skip
    for name, place in {"free calculation": "JP", "unsupported calculation": "KP"}.items():
        elsewhere = {**sold, "customer_details[address][country]": place}
        found[name] = ask(sdks, "POST", "/v1/tax/calculations", **elsewhere)
    found["sale"] = ask(
        sdks, "POST", "/v1/tax/transactions/create_from_calculation",
        **{"calculation": found["calculation"]["id"], "reference": "conformance", "expand[0]": lines},
    )  # fmt: skip
    found["reversal"] = ask(
        sdks, "POST", "/v1/tax/transactions/create_reversal",
        **{"original_transaction": found["sale"]["id"], "mode": "full", "reference": "conformance back",
           "expand[0]": lines, "metadata[a]": "1"},
    )  # fmt: skip
    assert len(found["calculation"][lines]["data"][0][breakdown]) == len(found["reversal"][lines]["data"]) == 1
    return found


def test_stripe_bodies_match_the_sdk_classes(bodies: dict[str, dict[str, Any]]) -> None:
    problems = {
        name: found for name, body in bodies.items() if (found := list(body_problems(body, CLASSES[body["object"]])))
    }

    assert problems == {}
    assert {body["object"] for body in bodies.values()} == set(CLASSES)
    assert {body["status"] for body in bodies.values() if body["object"] == "payment_intent"} >= {
        "requires_payment_method", "requires_confirmation", "requires_action", "requires_capture", "succeeded",
        "canceled", "processing",
    }  # fmt: skip


# Fields that are null, or say that a feature is off, and that Stripe's answers always have.
ALWAYS_THERE = {
    "payment_intent": (
        "customer_account",
        "excluded_payment_method_types",
        "managed_payments",
        "payment_record",
        "source",
    ),
    "payment_method": ("customer_account",),
    "charge": ("source",),
    "refund": ("customer", "customer_account", "payment_method"),
}
CARD_NETWORK_FIELDS = (
    *("extended_authorization", "incremental_authorization", "multicapture", "network_transaction_id", "overcapture"),
    "transaction_link_id",
)


def test_bodies_have_the_fields_that_are_usually_null(bodies: dict[str, dict[str, Any]]) -> None:
    wanted = [(name, body, ALWAYS_THERE.get(body["object"], ())) for name, body in bodies.items()]
    charges = [(name, body) for name, body in bodies.items() if body["object"] == "charge"]
    cards = [(name, charge["payment_method_details"].get("card")) for name, charge in charges]
    wanted += [(f"card of {name}", card, CARD_NETWORK_FIELDS) for name, card in cards if card]

    missing = {(name, field) for name, body, fields in wanted for field in fields if field not in body}

    assert missing == set()
    assert len(wanted) > len(bodies)
    assert bodies["refund"]["payment_method"] == bodies["succeeded"]["payment_method"]


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("product", ("livemode",), "gone"),
        ("product", ("package_dimensions", "height"), "5.0"),
        ("product", ("caption",), None),
        ("product", ("images", 0), 7),
        ("price", ("unit_amount",), "50"),
        ("price", ("active",), 1),
        ("price", ("unit_amount_decimal",), 50),
        ("succeeded", ("status",), "success"),
        ("succeeded", ("amount",), True),
        ("succeeded", ("metadata", "order_id"), 5),
        ("declined", ("last_payment_error", "code"), "no_money"),
        ("declined", ("last_payment_error", "payment_method", "card", "exp_month"), None),
        ("charge of succeeded", ("outcome", "score"), 1),
        ("expanded", ("latest_charge", "status"), "done"),
        ("refund", ("currency",), "gone"),
        ("chargeback", ("balance_transactions", 0, "fee"), "15"),
        ("inquiry", ("status",), "open"),
        ("coupon", ("percent_off",), "25.5"),
        ("promotion_code", ("promotion", "coupon", "valid"), "yes"),
        ("calculation", ("line_items", "data", 0, "tax_breakdown", 0, "taxability_reason"), "none"),
        ("reversal", ("line_items", "data", 0, "reversal", "original_line_item"), 1),
    ],
)
def test_a_mutant_body_is_caught(
    bodies: dict[str, dict[str, Any]], name: str, path: tuple[Any, ...], value: Any
) -> None:
    mutant = copy.deepcopy(bodies[name])
    node: Any = mutant
    for step in path[:-1]:
        node = node[step]
    if value == "gone":
        del node[path[-1]]
    else:
        node[path[-1]] = value

    problems = list(body_problems(mutant, CLASSES[mutant["object"]]))

    assert len(problems) == 1
    assert str(path[-1]) in problems[0]


def kind_of(parameter: types.Type) -> str:
    """Return the SDK's kind of a sandbox parameter type."""
    names = {
        types.Str: "str", types.Int: "int", types.Bool: "bool", types.Number: "float", types.DecimalText: "decimal",
        types.Missing: "str", types.ListOf: "list", types.Obj: "object", types.Metadata: "map",
        types.CreatedRange: "object",
    }  # fmt: skip
    return next(name for kind, name in names.items() if isinstance(parameter, kind))


def differences(ours: dict[str, types.Type], theirs: dict[str, Parameter], within: str = "") -> Iterator[str]:
    """Yield where the sandbox's parameters differ from Stripe's."""
    for name, mine in ours.items():
        full = f"{within}[{name}]" if within else name
        its = theirs.get(name)
        if its is None:
            yield f"{full}: unknown to Stripe"
        elif kind_of(mine) not in its.kinds:
            yield f"{full}: {kind_of(mine)} is none of {sorted(its.kinds)}"
        elif mine.required and not its.required:
            yield f"{full}: required here only"
        elif mine.unsettable != its.unsettable and kind_of(mine) != "map":
            yield f"{full}: unsettable is {mine.unsettable} here"
        elif isinstance(mine, types.Str) and its.choices and not set(mine.choices) <= its.choices:
            yield f"{full}: {set(mine.choices) - its.choices} is no choice"
        elif isinstance(mine, types.Obj):
            yield from differences(dict(mine.fields), its.fields, full)
        elif isinstance(mine, types.ListOf) and isinstance(mine.item, types.Obj) and its.item is not None:
            yield from differences(dict(mine.item.fields), its.item.fields, f"{full}[]")
    for name, its in theirs.items():
        if its.required and not (name in ours and ours[name].required):
            yield f"{within}[{name}]: required by Stripe"


# Intended differences: Stripe accepts the inline card token, but its types omit it.
INLINE_CARD = {
    "payment_method_data[card]: unknown to Stripe",
    "payment_method_data[type]: {'card'} is no choice",
}


@pytest.mark.parametrize(
    ("ours", "theirs", "known"),
    [
        (products.CREATE, stripe_params.ProductCreateParams, set()),
        (products.MODIFY, stripe_params.ProductUpdateParams, set()),
        (products.LIST, stripe_params.ProductListParams, set()),
        (products.SEARCH, stripe_params.ProductSearchParams, set()),
        (prices.CREATE, stripe_params.PriceCreateParams, set()),
        (prices.MODIFY, stripe_params.PriceUpdateParams, set()),
        (prices.LIST, stripe_params.PriceListParams, set()),
        (payment_methods.CREATE, stripe_params.PaymentMethodCreateParams, set()),
        (payment_methods.MODIFY, stripe_params.PaymentMethodUpdateParams, set()),
        (confirmation_tokens.CREATE, stripe_params.test_helpers.ConfirmationTokenCreateParams, INLINE_CARD),
        (payment_intents.CREATE, stripe_params.PaymentIntentCreateParams, INLINE_CARD),
        (payment_intents.MODIFY, stripe_params.PaymentIntentUpdateParams, INLINE_CARD),
        (payment_intents.CONFIRM, stripe_params.PaymentIntentConfirmParams, INLINE_CARD),
        (payment_intents.CANCEL, stripe_params.PaymentIntentCancelParams, set()),
        (payment_intents.CAPTURE, stripe_params.PaymentIntentCaptureParams, set()),
        (payment_intents.LIST, stripe_params.PaymentIntentListParams, set()),
        (payment_intents.RETRIEVE, stripe_params.PaymentIntentRetrieveParams, set()),
        (charges.LIST_CHARGES, stripe_params.ChargeListParams, set()),
        (charges.MODIFY_CHARGE, stripe_params.ChargeUpdateParams, set()),
        (charges.CREATE_REFUND, stripe_params.RefundCreateParams, set()),
        (charges.MODIFY_REFUND, stripe_params.RefundUpdateParams, set()),
        (charges.LIST_REFUNDS, stripe_params.RefundListParams, set()),
        (disputes.LIST, stripe_params.DisputeListParams, set()),
        (disputes.MODIFY, stripe_params.DisputeUpdateParams, set()),
        (disputes.CLOSE, stripe_params.DisputeCloseParams, set()),
        (files.LIST, stripe_params.FileListParams, set()),
        (fraud_warnings.LIST, stripe_params.radar.EarlyFraudWarningListParams, set()),
        (coupons.CREATE, stripe_params.CouponCreateParams, set()),
        (coupons.MODIFY, stripe_params.CouponUpdateParams, set()),
        (coupons.LIST, stripe_params.CouponListParams, set()),
        (promotion_codes.CREATE, stripe_params.PromotionCodeCreateParams, set()),
        (promotion_codes.MODIFY, stripe_params.PromotionCodeUpdateParams, set()),
        (promotion_codes.LIST, stripe_params.PromotionCodeListParams, set()),
        (tax_codes.LIST, stripe_params.TaxCodeListParams, set()),
        (tax_calculations.CREATE, stripe_params.tax.CalculationCreateParams, set()),
        (tax_calculations.LIST, stripe_params.tax.CalculationLineItemListParams, set()),
        (tax_transactions.CREATE, stripe_params.tax.TransactionCreateFromCalculationParams, set()),
        (tax_transactions.REVERSE, stripe_params.tax.TransactionCreateReversalParams, set()),
        (tax_calculations.LIST, stripe_params.tax.TransactionLineItemListParams, set()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_sandbox_parameters_match_stripe(ours: dict[str, types.Type], theirs: Any, known: set[str]) -> None:
    assert set(differences(ours, parameters(theirs))) == known


def test_a_mutant_parameter_is_caught() -> None:
    theirs = parameters(stripe_params.PaymentIntentCreateParams)
    mutants: dict[str, types.Type] = {
        "payment_method_types": types.ListOf(types.Str()),
        "confirm": types.Int(),
        "description": types.Str(unsettable=True),
        "amount": types.Int(),
        "capture_method": types.Str(choices=("automatic", "later")),
        "shipping": types.Obj({"nom": types.Str()}),
    }

    found = set(differences({**payment_intents.CREATE, **mutants}, theirs)) - INLINE_CARD

    assert {text.split(":")[0] for text in found} == {
        "payment_method_types", "confirm", "description", "[amount]", "capture_method", "shipping[nom]",
        "shipping[address]", "shipping[name]",
    }  # fmt: skip


def test_a_twilio_message_has_the_keys_that_the_sdk_reads(sdks: Sdks) -> None:
    class Recorder(dict[str, Any]):
        def __init__(self) -> None:
            super().__init__()
            self.asked: set[str] = set()

        def get(self, key: str, default: Any = None) -> Any:
            self.asked.add(key)
            return default

    recorder = Recorder()
    MessageInstance(sdks.twilio.api.v2010, recorder, "AC" + "0" * 32)
    answer = sdks.post(
        f"/twilio/2010-04-01/Accounts/AC{'0' * 32}/Messages.json",
        data={"To": "+15558675310", "From": "+15005550006", "Body": "hello"},
        auth=("AC" + "0" * 32, "sandbox"),
    )

    assert answer.status_code == 201
    assert set(answer.json()) == recorder.asked
    statuses = {value for name, value in vars(MessageInstance.Status).items() if not name.startswith("_")}
    ages = (0.0, delivery.SENT_AFTER, delivery.DELIVERED_AFTER)
    stored = {"sid": "SM0", "to": "+1", "from": "+1", "body": "", "messaging_service_sid": None, "num_media": "0",
              "num_segments": "1", "created": 0.0}  # fmt: skip
    seen = [sandbox_twilio.shown(stored, age)["status"] for age in ages]
    assert seen == ["queued", "sent", "delivered"]
    assert set(seen) <= statuses

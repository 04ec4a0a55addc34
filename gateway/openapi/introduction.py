"""What the document says before its operations: how a storefront's requests follow each other, and what they share."""

from __future__ import annotations

import inspect
import re

# Test cards of the sandbox, which are Stripe's, and what happens to a payment with each.
TEST_CARDS = {
    "tok_visa": "paid",
    "tok_chargeDeclined": "declined",
    "pm_card_authenticationRequired": "the bank requires a confirmation",
}

_GUIDE = """
Amounts are integers in the currency's smallest unit, [as Stripe counts it](https://docs.stripe.com/currencies): 1250 is
$12.50 in `usd`, and 1250 yen in `jpy`. Times are Unix seconds. Every path works with and without its trailing slash.

## From product to parcel

1. `GET /api/products/`: the products. A shopper buys one of a product's `skus`.
2. `POST /api/cart/`, once per shopper: issues the id of a cart. Store it, and send it as `Cart-Id` from here on.
3. `POST /api/cart/{product_id}/buy/` adds to the cart, `POST /api/cart/discount/` gives it a code, and
   `GET /api/cart/summary/` shows its current prices.
4. `POST /api/cart/checkout/`: the cart becomes an order, with its tax and the cheapest of its `shipping_methods`.
   `PUT /api/cart/shipping/` selects another, which may change the tax.
5. `POST /api/cart/paid/`: takes the money, or answers 402 if the card is declined or its bank asks the shopper.
6. `GET /api/orders/{order_id}/`: the order. Nothing is pushed: read it again, about every two seconds, until it is
   `paid` and has a `tracking_number`.
7. `GET /api/shipments/{shipment_id}/tracking/`: where the parcel is. `shipment_id` is the order's `upstream_id`.

Without the cart, the order's token opens 6 and 7: the `token` in its `status_url`, as `Order-Token` or `?token=`.

## Pages of another origin

The setting `CORS_ORIGINS` lists the origins whose pages may call. Send `Cart-Id`, and no credentials: browsers send the
cookie `cart_id` only to the same site.

## Idempotency-Key

Send a new UUID with each `POST`, and the same one only to repeat that request: it then takes effect once. Repeat after
a lost answer, a 5xx, or a 409 with `Retry-After`. Other refusals (402 declined, 404, 409, 422) are kept: a new try,
such as with another card, needs a new key. After a 400, correct the request; the key is still free. `PUT` and `DELETE`
need no key.

## Failures

A failure is a problem body (RFC 9457), `application/problem+json`. Programs decide by its `type`. `detail` is a
sentence for people, and `errors` has the messages of each field.
"""
_SANDBOX = """
## Test cards

This shop's payments are played by the sandbox, with test cards for `card`:

{cards}

The bank's page and the labels are at the sandbox's address. `/` there shows mails and moves parcels, and
`/sandbox/tax` lists the tax rates.
"""


def introduction(sandbox: bool) -> str:
    """The document's description, in Markdown.

    Args:
        sandbox: whether the sandbox plays the payment provider, so that its test cards can be named.
    """
    cards = "\n".join(f"- `{card}`: {outcome}" for card, outcome in TEST_CARDS.items())
    return unwrapped(_GUIDE + (_SANDBOX.format(cards=cards) if sandbox else ""))


def unwrapped(text: str) -> str:
    """Markdown with each paragraph on one line, because the page shows a line break as one."""
    return re.sub(r"(?<!\n)\n *(?![\n#|-]|\d+\. )", " ", inspect.cleandoc(text))

"""The limits of a product's fields: Stripe's, so that a caller learns which field is too large before it is created."""

from __future__ import annotations

import re

MAX_PRICE = 99_999_999  # Stripe accepts eight digits of cents, of a price as of a payment
MAX_STOCK = 1_000_000_000  # far more than any real stock; no sum of orders overflows a 64-bit column
MAX_QUANTITY = 10_000  # of one SKU in a cart or an order
MAX_DIMENSION = 100_000  # inches or ounces: far above any parcel, far below any arithmetic limit
NAME_LENGTH = 250
DESCRIPTION_LENGTH = 5000
METADATA_ENTRIES = 45  # Stripe allows 50; the rest is for the shop's private metadata
METADATA_NAME_LENGTH = 40
METADATA_VALUE_LENGTH = 500
IMAGES = 8
URL_LENGTH = 2048
ATTRIBUTES = 20
ATTRIBUTE_LENGTH = 100
SKUS = 100  # of one product
# Stripe's tax codes (its guide "Product tax codes"): https://docs.stripe.com/tax/tax-codes.
TAX_CODE = re.compile(r"txcd_[0-9]{8}")
TAX_CODE_MESSAGE = "must be one of Stripe's tax codes: txcd_ and eight digits"
SKU_IMAGE_LENGTH = METADATA_VALUE_LENGTH  # Stripe's prices have no image of their own

"""The tables of the cart service, and the base of its stores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import sqlalchemy as sa

from chassis.clock import now as clock_now
from chassis.db.engine import Database
from chassis.db.shared_tables import claim_columns

metadata = sa.MetaData()

# The queue of the work owed for the orders.
DELIVERIES = "deliveries"

items = sa.Table(
    "cart_items",
    metadata,
    sa.Column("cart_id", sa.String(128), primary_key=True),
    sa.Column("sku", sa.String(255), primary_key=True),
    sa.Column("product_id", sa.String(255), nullable=False),
    sa.Column("quantity", sa.Integer, nullable=False),
    sa.Column("added", sa.Float(53), nullable=False),
    # How it is shown (`cart.rules.cart.SHOWN`), as last read from products; empty where a copy of older code wrote it.
    sa.Column("shown", sa.JSON(none_as_null=True)),
)

# The changes of carts, and choices of shipping, that have been made: a redelivered message, or a copy that was
# suspended, must not make one twice.
additions = sa.Table(
    "cart_additions",
    metadata,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("added", sa.Float(53), nullable=False),
    sa.Index("cart_additions_added", "added"),
)

# For `claim`, `holder` and `claimed_until` see `chassis.db.claims`; `due_at` is when the completer checks the order
# again, for the `looks`-th time.
orders = sa.Table(
    "orders",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(255), nullable=False, unique=True),
    sa.Column("cart_id", sa.String(128), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("email", sa.String(320), nullable=False),
    # The key for finding the order; empty where a copy of older code wrote it.
    sa.Column("email_key", sa.String(400)),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("payment", sa.String(255)),
    sa.Column("shipment", sa.String(255)),
    sa.Column("stock_key", sa.String(255)),
    sa.Column("card", sa.String(64)),
    # What its payment waits for; a copy of older code leaves it as it is.
    sa.Column("waits_for", sa.String(16)),
    # Whether the attempt opens a payment for methods that redirect, too; empty where a copy of older code wrote it.
    sa.Column("redirects", sa.Boolean),
    *claim_columns(),
    sa.Column("due_at", sa.Float(53), nullable=False, server_default="0"),
    sa.Column("looks", sa.Integer, nullable=False),
    sa.Column("created", sa.Float(53), nullable=False),
    # The id of the discount code that it was placed with.
    sa.Column("discount", sa.String(255)),
    # Its calculated tax, a `cart.rules.order.OrderTax`; null when none was calculated.
    sa.Column("tax", sa.JSON(none_as_null=True)),
    # Its `cart.rules.dispute.Dispute`, and what disputes have taken of it; null where a copy of older code wrote it.
    # Its document has both, too, but such a copy drops them there.
    sa.Column("dispute", sa.JSON(none_as_null=True)),
    sa.Column("amount_lost", sa.BigInteger),
    # Of the order's input: the cart's lines with their prices, and the customer.
    sa.Column("digest", sa.String(64)),
    # Opens the order to its bearer; empty where a copy of older code wrote it, until the order is shown.
    sa.Column("token", sa.String(64)),
    sa.Index("orders_digest", "cart_id", "digest"),
    sa.Index("orders_newest", "created", "id"),
    sa.Index("orders_email_key", "email_key", "created", "id"),
    sa.Index("orders_status", "status", "due_at"),
    sa.Index("orders_payment", "payment"),
    sa.Index("orders_shipment", "shipment"),
)

steps = sa.Table(
    "purchase_steps",
    metadata,
    sa.Column("order_id", sa.String(64), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("step", sa.String(32), primary_key=True),
    sa.Column("began", sa.Float(53), nullable=False),
    sa.Column("ended", sa.Float(53)),
    sa.Column("outcome", sa.JSON),
)

# Attempts to pay by card that may count against a limit; see `card_attempts.py` for the states. `payer` is usually the
# order's cart.
card_attempts = sa.Table(
    "card_attempts",
    metadata,
    sa.Column("order_id", sa.String(64), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("payer", sa.String(255), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("began", sa.Float(53), nullable=False),
    sa.Index("card_attempts_payer", "payer", "began"),
)

# The pieces that an attempt holds while the shopper's bank is asked.
bank_holds = sa.Table(
    "bank_holds",
    metadata,
    sa.Column("order_id", sa.String(64), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("sku", sa.String(255), primary_key=True),
    sa.Column("quantity", sa.Integer, nullable=False),
    sa.Index("bank_holds_sku", "sku"),
)

# Refunds. The claim, `due_at` and `looks` are as of an order; `provider_id` is the provider's id; `spent` counts keys
# under which the provider will not refund: it has stored a failure of its own, or refused the amount; `rest` marks a
# refund of the whole remaining amount; `pending` a done one whose money is still on its way; `repeats` is the id of the
# failed refund that this one repeats.
refunds = sa.Table(
    "refunds",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("order_id", sa.String(64), nullable=False),
    sa.Column("key", sa.String(255), nullable=False, unique=True),
    sa.Column("payment", sa.String(255), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("provider_id", sa.String(255), unique=True),
    *claim_columns(),
    sa.Column("due_at", sa.Float(53), nullable=False, server_default="0"),
    sa.Column("looks", sa.Integer, nullable=False),
    sa.Column("spent", sa.Integer, nullable=False, server_default="0"),
    sa.Column("rest", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("began", sa.Float(53), nullable=False),
    sa.Column("ended", sa.Float(53)),
    sa.Column("error", sa.Text),
    sa.Column("pending", sa.Boolean),
    sa.Column("repeats", sa.String(64)),
    sa.Index("refunds_order", "order_id"),
    sa.Index("refunds_state", "state", "due_at"),
)

# The provider's discount codes. `code_key` finds any spelling; `hundredths` are of a percent; `redeemed` is the number
# of this code's `redemptions`; `read_at` is when the provider was asked for it (Unix seconds); `terms_id` is the
# provider's record of the terms, which several codes may share.
discounts = sa.Table(
    "discounts",
    metadata,
    sa.Column("id", sa.String(255), primary_key=True),
    sa.Column("code", sa.String(500), nullable=False),
    sa.Column("code_key", sa.String(500), nullable=False),
    sa.Column("hundredths", sa.Integer),
    sa.Column("amount_off", sa.BigInteger),
    sa.Column("currency", sa.String(3)),
    sa.Column("minimum_amount", sa.BigInteger),
    sa.Column("max_redemptions", sa.BigInteger),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("redeemed", sa.Integer, nullable=False),
    sa.Column("read_at", sa.Float(53), nullable=False),
    sa.Column("terms_id", sa.String(500)),
    sa.Index("discounts_code_key", "code_key"),
    sa.Index("discounts_newest", "created", "id"),
    sa.Index("discounts_terms", "terms_id"),
)

# The orders that have redeemed a code, or are being paid with it.
redemptions = sa.Table(
    "redemptions",
    metadata,
    sa.Column("order_id", sa.String(64), primary_key=True),
    sa.Column("discount", sa.String(255), nullable=False),
    sa.Column("at", sa.Float(53), nullable=False),
    sa.Index("redemptions_discount", "discount"),
)

# The code that a cart has, as its shopper typed it.
cart_discounts = sa.Table(
    "cart_discounts",
    metadata,
    sa.Column("cart_id", sa.String(128), primary_key=True),
    sa.Column("code", sa.String(500), nullable=False),
)

# The operator's list: orders that need a person, until `ended`. `about` is what it is about, such as a dispute's id;
# `openings` counts how often it was opened: 0 for a delivery that was given up, and then dismissed by an operator.
attention = sa.Table(
    "attention",
    metadata,
    sa.Column("order_id", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("about", sa.String(255), primary_key=True),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("since", sa.Float(53), nullable=False),
    sa.Column("ended", sa.Float(53)),
    sa.Column("openings", sa.Integer, nullable=False),
    sa.Index("attention_open", "ended", "since"),
    sa.Index("attention_about", "about"),
)

# What became of the orders' mails and text messages, by the key of their delivery; the words are those of the
# notifications service.
message_states = sa.Table(
    "message_states",
    metadata,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("at", sa.Float(53), nullable=False),
)

# The provider's disputes and fraud warnings of our payments, as `cart.rules.dispute.Case`.
disputes = sa.Table(
    "disputes",
    metadata,
    sa.Column("id", sa.String(255), primary_key=True),
    sa.Column("order_id", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("payment", sa.String(255), nullable=False),
    sa.Column("status", sa.String(64), nullable=False),
    sa.Column("reason", sa.String(255), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("evidence_due_by", sa.BigInteger),
    # Whether the bank has not decided yet.
    sa.Column("open", sa.Boolean, nullable=False),
    sa.Index("disputes_order", "order_id"),
    sa.Index("disputes_open", "open"),
)

# How far the service has read another service's sequence.
cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("seen", sa.BigInteger, nullable=False),
)


# The longest wait of an unclaimed order or refund for its next check (seconds); a wrong clock stored a time further
# ahead. Four times `cart.payment.settlement.LATE_LOOK_S`.
LONGEST_LOOK_S = 120.0
# The same for an order whose payment a bank settles within days.
LONGEST_PROCESSING_LOOK_S = 3600.0


class Store:
    """The base of the stores. Each method is a transaction, or part of the caller's.

    Args:
        database: the cart service's own.
        clock: Unix seconds; another one in tests.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = clock_now) -> None:
        self._database = database
        self._clock = clock

    def lock(self, name: str) -> None:
        """Block others who lock `name` until the end of this transaction; SQLite locks the whole file anyway."""
        with self._database.write() as connection:
            if connection.dialect.name == "postgresql":
                number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.cast(number, sa.BigInteger))))

    def first_time(self, key: str | None) -> bool:
        """Record that this transaction does the work of `key`; False when it was done before.

        None stands for work that cannot be repeated. Part of a transaction that is `once_more`.
        """
        if key is None:
            return True
        with self._database.write() as connection:
            if connection.execute(sa.select(additions.c.key).where(additions.c.key == key)).first() is not None:
                return False
            connection.execute(sa.insert(additions).values(key=key, added=self._clock()))
        return True

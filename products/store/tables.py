"""The tables of the products service, as created by `migrations/`."""

from __future__ import annotations

import sqlalchemy as sa

from chassis.db.shared_tables import claim_columns

metadata = sa.MetaData()

# Sorted by code point on both databases; PostgreSQL would otherwise follow its locale.
ordered = sa.String().with_variant(sa.String(collation="C"), "postgresql")

products = sa.Table(
    "products",
    metadata,
    sa.Column("id", ordered, primary_key=True),
    # Its first SKU, where the previous release looks for it; so are `on_sale`, and the body's `sku` and `inventory`.
    sa.Column("sku", ordered, nullable=False, unique=True),
    # Counts the writes. A writer states which revision it is based on, so that an older state never replaces a newer
    # one.
    sa.Column("revision", sa.Integer, nullable=False),
    # A removed product keeps its row: a page may still continue after it, and its key must not create a second product.
    sa.Column("removed", sa.Boolean, nullable=False),
    sa.Column("on_sale", sa.Boolean, nullable=False),
    sa.Column("name_key", ordered, nullable=False),
    # The lowest of its SKUs on sale.
    sa.Column("price", sa.BigInteger, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    # Claimed while its SKUs change.
    *claim_columns(),
    *(
        sa.Index(f"products_by_{column}", "removed", column, "id")
        for column in ("name_key", "price", "created", "updated")
    ),
)

# Every SKU that a product has, or had: a removed one is not in the product's body.
skus = sa.Table(
    "skus",
    metadata,
    sa.Column("sku", ordered, primary_key=True),
    sa.Column("product", ordered, sa.ForeignKey("products.id"), nullable=False),
    sa.Index("skus_of", "product"),
)

product_metadata = sa.Table(
    "product_metadata",
    metadata,
    sa.Column("name", ordered, primary_key=True),
    sa.Column("product", ordered, sa.ForeignKey("products.id"), primary_key=True),
    sa.Column("value_key", ordered, nullable=False),
    sa.Index("product_metadata_of", "product"),
    sa.Index("product_metadata_by_value", "name", "value_key", "product"),
)

product_terms = sa.Table(
    "product_terms",
    metadata,
    sa.Column("term", ordered, primary_key=True),
    sa.Column("product", ordered, sa.ForeignKey("products.id"), primary_key=True),
    sa.Index("product_terms_of", "product"),
)

stock = sa.Table(
    "stock",
    metadata,
    sa.Column("sku", ordered, primary_key=True),
    sa.Column("type", sa.String, nullable=False),
    sa.Column("quantity", sa.BigInteger),
    sa.Column("value", sa.String),
    # The revision of the SKU's product at which the stock was last set.
    sa.Column("filled", sa.Integer, nullable=False, server_default="0"),
    # The code never violates this. If a bug does, the sale fails and the stock stays correct.
    sa.CheckConstraint("quantity >= 0", name="stock_is_never_negative"),
)

# Which changes have set stock: a redelivered message must not set it again.
fillings = sa.Table(
    "fillings",
    metadata,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("made", sa.BigInteger, nullable=False),
)

holds = sa.Table(
    "holds",
    metadata,
    sa.Column("key", ordered, primary_key=True),
    sa.Column("state", sa.String, nullable=False),
    # [{"parent", "quantity", "taken"}]: stock that was taken is returned, even if the inventory has changed since.
    sa.Column("lines", sa.JSON, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
)

# Products off sale because their catalogue record cannot be read, including some that were never projected.
asides = sa.Table(
    "set_aside",
    metadata,
    sa.Column("product", ordered, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
)

milestones = sa.Table(
    "milestones",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("reached", sa.BigInteger, nullable=False),
)

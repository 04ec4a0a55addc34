"""The projection of the catalogue, the search terms of its products, and the stock."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Sorted by code point on both databases; PostgreSQL would otherwise follow its locale.
ordered = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "products",
        sa.Column("id", ordered, primary_key=True),
        sa.Column("sku", ordered, nullable=False, unique=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
        sa.Column("on_sale", sa.Boolean, nullable=False),
        sa.Column("name_key", ordered, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
    )
    for column in ("name_key", "price", "created", "updated"):
        op.create_index(f"products_by_{column}", "products", ["removed", column, "id"])
    op.create_table(
        "product_metadata",
        sa.Column("name", ordered, primary_key=True),
        sa.Column("product", ordered, sa.ForeignKey("products.id"), primary_key=True),
        sa.Column("value_key", ordered, nullable=False),
    )
    op.create_index("product_metadata_of", "product_metadata", ["product"])
    op.create_index("product_metadata_by_value", "product_metadata", ["name", "value_key", "product"])
    op.create_table(
        "product_terms",
        sa.Column("term", ordered, primary_key=True),
        sa.Column("product", ordered, sa.ForeignKey("products.id"), primary_key=True),
    )
    op.create_index("product_terms_of", "product_terms", ["product"])
    op.create_table(
        "stock",
        sa.Column("sku", ordered, primary_key=True),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("quantity", sa.BigInteger),
        sa.Column("value", sa.String),
        # The code never violates this. If a bug does, the sale fails and the stock stays correct.
        sa.CheckConstraint("quantity >= 0", name="stock_is_never_negative"),
    )
    op.create_table(
        "holds",
        sa.Column("key", ordered, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("lines", sa.JSON, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "milestones",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("reached", sa.BigInteger, nullable=False),
    )

"""Several SKUs of one product: which product each belongs to, and the claim of those who change them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

ordered = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "skus",
        sa.Column("sku", ordered, primary_key=True),
        sa.Column("product", ordered, sa.ForeignKey("products.id"), nullable=False),
    )
    op.create_index("skus_of", "skus", ["product"])
    # A product that a copy of the previous release creates later is found by its `products.sku`, as before.
    op.execute("INSERT INTO skus (sku, product) SELECT sku, id FROM products")
    op.add_column("products", sa.Column("claim", sa.String(64)))
    op.add_column("products", sa.Column("holder", sa.String(64)))
    op.add_column("products", sa.Column("claimed_until", sa.Float(53), nullable=False, server_default="0"))

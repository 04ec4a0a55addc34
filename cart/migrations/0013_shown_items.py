"""How each item of a cart is shown: name, image, attributes and price, as last read from products."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    # Empty in existing items, and in those that a copy of the previous release adds: such an item is read from products
    # when its cart is next shown.
    op.add_column("cart_items", sa.Column("shown", sa.JSON))

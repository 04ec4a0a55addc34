"""The dispute of an order, and what disputes have taken of it: a copy of older code drops them from the document."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("orders", sa.Column("dispute", sa.JSON(none_as_null=True)))
    op.add_column("orders", sa.Column("amount_lost", sa.BigInteger))

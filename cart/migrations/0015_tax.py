"""The calculated tax of an order."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("orders", sa.Column("tax", sa.JSON(none_as_null=True)))

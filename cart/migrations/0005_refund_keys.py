"""For each refund, the number of keys under which the provider has stored a failure of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("refunds", sa.Column("spent", sa.Integer, nullable=False, server_default="0"))

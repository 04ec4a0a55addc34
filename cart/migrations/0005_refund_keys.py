"""How many keys of a refund the provider keeps a failure of its own under."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("refunds", sa.Column("spent", sa.Integer, nullable=False, server_default="0"))

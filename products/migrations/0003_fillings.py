"""Which changes have set stock, so that none is applied twice."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "fillings",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("made", sa.BigInteger, nullable=False),
    )
    op.add_column("stock", sa.Column("filled", sa.Integer, nullable=False, server_default="0"))

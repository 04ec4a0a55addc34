"""Which products are off sale because their catalogue record cannot be read, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    identifier = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    op.create_table(
        "set_aside",
        sa.Column("product", identifier, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
    )

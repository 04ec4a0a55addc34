"""The operator's list: orders that need a person."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "attention",
        sa.Column("order_id", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("about", sa.String(255), primary_key=True),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("since", sa.Float(53), nullable=False),
        sa.Column("ended", sa.Float(53)),
        sa.Column("openings", sa.Integer, nullable=False),
    )
    op.create_index("attention_open", "attention", ["ended", "since"])
    op.create_index("attention_about", "attention", ["about"])

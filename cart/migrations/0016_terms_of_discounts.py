"""The provider's record of the terms of a discount code."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("discounts", sa.Column("terms_id", sa.String(500)))
    op.create_index("discounts_terms", "discounts", ["terms_id"])

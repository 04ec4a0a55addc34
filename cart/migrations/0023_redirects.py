"""Whether an order's payment may redirect the shopper to another page."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("orders", sa.Column("redirects", sa.Boolean))

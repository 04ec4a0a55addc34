"""Which process holds a purchase, refunds of labels, and where parcels are."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for column in (
        sa.Column("holder", sa.String(64)),
        sa.Column("settled", sa.Double, nullable=False, server_default="0"),
        sa.Column("voided", sa.Double),
        sa.Column("refund", sa.Text),
        sa.Column("tracking_status", sa.Text),
        sa.Column("tracking_date", sa.Double),
        sa.Column("polled", sa.Double),
    ):
        op.add_column("labels", column)
    op.execute("UPDATE labels SET polled = 0 WHERE tracking_number IS NOT NULL")
    op.create_index("labels_tracking_number", "labels", ["tracking_number"])
    op.create_index("labels_polled", "labels", ["polled"])
    op.create_index("labels_voided", "labels", ["voided"])
    op.create_table(
        "moves",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("shipment_id", Text, nullable=False),
        sa.Column("tracking_number", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    counter = op.create_table(
        "move_counter",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(counter, [{"id": 1, "last": 0}])

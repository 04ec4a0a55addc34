"""All claims in the same three columns (`chassis.db.claims`)."""

from alembic import op

from chassis.db.shared_revisions import use_claim_columns

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    use_claim_columns("answers", "until", "ended IS NULL", due=False)
    use_claim_columns("orders", "lease", "status IN ('paying', 'confirming', 'canceling')")
    use_claim_columns("refunds", "lease", "state = 'asked'")
    op.drop_index("orders_status", "orders")
    op.create_index("orders_status", "orders", ["status", "due_at"])
    op.drop_index("refunds_state", "refunds")
    op.create_index("refunds_state", "refunds", ["state", "due_at"])

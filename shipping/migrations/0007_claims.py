"""All claims in the same three columns (`chassis.db.claims`)."""

from chassis.db.shared_revisions import use_claim_columns

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    use_claim_columns("answers", "until", "ended IS NULL", due=False)

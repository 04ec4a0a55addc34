"""Which copies of the service are alive, and the stored answers to each Idempotency-Key."""

from chassis.db.shared_revisions import create_presence_and_answers

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    create_presence_and_answers()

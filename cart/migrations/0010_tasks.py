"""One table of durable tasks (`chassis.work.tasks`)."""

from chassis.db.shared_revisions import create_tasks

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    create_tasks("orders", "refunds", "owed")

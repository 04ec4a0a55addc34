"""One table of durable tasks (`chassis.work.tasks`)."""

from chassis.db.shared_revisions import create_tasks

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    create_tasks()

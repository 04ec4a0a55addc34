"""One table of durable tasks (`chassis.work.tasks`)."""

from chassis.db.shared_revisions import create_tasks

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    create_tasks()

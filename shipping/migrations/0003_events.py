"""Events that the provider sent to the service's webhook."""

from chassis.db.shared_revisions import create_events

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    create_events()

"""Bring the databases of the services up to date: ``python -m chassis.db.migrate [service ...]``.

Each service has its own revisions in ``<service>/migrations`` and its own version table in its own database (or
schema). Several processes may run it at once: one migrates; the others wait, and find nothing left to do.
"""

from __future__ import annotations

import sys
from pathlib import Path

import sqlalchemy

from chassis.db.engine import Database, url_for
from chassis.settings import Settings

SERVICES = ("products", "cart", "shipping", "notifications")
# How long one statement of a revision may take on PostgreSQL, such as an index on a large table; and how long a second
# process waits for the first.
STATEMENT = "10min"
ROOT = Path(__file__).resolve().parent.parent.parent


def migrate(database: Database, revision: str = "head") -> None:
    """Apply the revisions that `database` lacks, up to `revision`, all in one transaction.

    Raises Unavailable when the database cannot be reached, and any error of a revision; nothing is applied then.
    """
    # Only a process that migrates needs Alembic; importing it takes a tenth of a service's start.
    from alembic import command
    from alembic.config import Config

    config = Config()
    # configparser would interpret a % in a path as an interpolation.
    folder = str(Path(__file__).parent / "alembic").replace("%", "%%")
    versions = str(ROOT / database.service / "migrations").replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.set_main_option("version_locations", versions)
    config.set_main_option("path_separator", "newline")  # a path may contain a space or a colon
    with database.write() as connection:  # on SQLite this takes the write lock: the second process waits here
        if database.dialect == "postgresql":
            usual = connection.execute(sqlalchemy.text("SHOW statement_timeout")).scalar_one()
            limit = sqlalchemy.text("SELECT set_config(:name, :value, true)")
            connection.execute(limit, {"name": "statement_timeout", "value": STATEMENT})
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(hashtext('shop-migrate'))"))
            # All other transactions queue behind a waiting exclusive lock, so it waits no longer than any statement.
            connection.execute(limit, {"name": "lock_timeout", "value": usual})
            connection.execute(sqlalchemy.schema.CreateSchema(database.service, if_not_exists=True))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def main(services: list[str]) -> int:
    """Migrate `services` (all four when empty); returns the exit status."""
    unknown = sorted(set(services) - set(SERVICES))
    if unknown:
        print(f"There is no service called {', '.join(unknown)}; there are {', '.join(SERVICES)}.", file=sys.stderr)
        return 2
    settings = Settings.load(ROOT / "config.yml")
    for service in services or SERVICES:
        database = Database(url_for(service, settings.database_url, settings.var_dir), service)
        try:
            migrate(database)
        finally:
            database.dispose()
        print(f"{service}: up to date", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

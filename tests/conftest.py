"""What every test may ask for."""

from tests.databases import database, database_url, postgresql
from tests.locked import locked

__all__ = ["database", "database_url", "locked", "postgresql"]

"""What every test may ask for."""

from tests.databases import database, database_url, postgresql

__all__ = ["database", "database_url", "postgresql"]

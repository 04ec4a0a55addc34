"""The products service in SQL: the projection of the catalogue, and the stock."""

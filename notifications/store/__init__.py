"""The table of the notifications service, and the queries on it."""

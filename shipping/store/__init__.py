"""The tables of the shipping service, and the queries on them."""

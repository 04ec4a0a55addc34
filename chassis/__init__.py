"""The common base of every process of the shop: settings, logs, RPC, the database, HTTP to a provider.

It contains no business rules and imports no service.
"""

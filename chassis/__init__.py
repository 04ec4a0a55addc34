"""What every process of the shop stands on: settings, logs, the RPC hop, the database, HTTP to a provider.

No rule of the shop lives here, and no service is imported here.
"""

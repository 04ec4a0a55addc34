"""Calls between processes over RabbitMQ: connection, client, entrypoint, dead letters."""

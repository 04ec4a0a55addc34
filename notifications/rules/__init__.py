"""The rules of messages: plain objects without a framework, an SDK or SQL."""

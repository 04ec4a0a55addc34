"""Shippo in the sandbox."""

"""Buying and refunding labels."""

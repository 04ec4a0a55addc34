"""Shippo as a provider of carriers."""

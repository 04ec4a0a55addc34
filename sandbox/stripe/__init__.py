"""Stripe in the sandbox."""

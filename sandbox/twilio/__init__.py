"""Twilio in the sandbox."""

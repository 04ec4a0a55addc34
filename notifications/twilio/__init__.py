"""Twilio as a provider of text messages."""

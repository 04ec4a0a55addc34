"""The four providers (Stripe, Shippo, Twilio, SendGrid) as one local HTTP server, for development, tests and demos.

The providers' own SDKs reach it over HTTP, and no code imports it. `python -m sandbox` starts it.
"""

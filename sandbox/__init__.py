"""The four providers (Stripe, Shippo, Twilio, SendGrid) as one local HTTP server, for development, tests and demos.

It is reached over HTTP by the providers' own SDKs and imported by nobody. `python -m sandbox` starts it.
"""

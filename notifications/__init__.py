"""The notifications service: mail through SendGrid and text messages through Twilio, each sent once per key."""

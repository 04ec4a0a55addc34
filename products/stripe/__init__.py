"""The catalogue in Stripe; Stripe's words stop here."""

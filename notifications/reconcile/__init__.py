"""The shop's text messages compared with the provider's list."""

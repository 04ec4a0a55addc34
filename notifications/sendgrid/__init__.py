"""SendGrid as a provider of mail."""

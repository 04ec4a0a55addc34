"""SendGrid in the sandbox."""

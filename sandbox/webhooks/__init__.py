"""The webhooks that the sandbox sends: which event, how signed, and when."""

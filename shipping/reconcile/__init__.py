"""The shop's labels compared with the carrier's list."""

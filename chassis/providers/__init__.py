"""HTTP to a provider: sessions, concurrency limits, circuit breaker."""

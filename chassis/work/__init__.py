"""How a process works: deadlines, idempotency, fair scheduling, concurrency limits, stored events."""

"""HTTP in, RPC out: the shop's public interface. It validates and translates; it contains no business rules."""

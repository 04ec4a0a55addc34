"""HTTP in, RPC out: the shop's public face. It checks shape and translates; no rule of business lives here."""

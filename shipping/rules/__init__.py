"""The rules of shipping: plain objects without a framework, an SDK or SQL."""

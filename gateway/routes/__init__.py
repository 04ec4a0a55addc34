"""The routes, one module per chapter of the API; each translates a request into one call, and the result into an
answer."""

"""HTTP/1.1: passes complete requests to the gateway, and answers everything else with a problem.

httptools (llhttp) parses; uvicorn listens and shuts down gracefully. A request is dispatched only when its body has
arrived whole, or when its answer does not depend on the body (`Gateway.body_limit`). Requests of one connection are
answered in order.
"""

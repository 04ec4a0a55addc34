"""The shipping service: carriers' rates, labels and tracking through Shippo."""

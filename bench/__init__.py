"""Measurements: `python -m bench NAME`, each printing what it found on this machine. No test asserts on a figure."""

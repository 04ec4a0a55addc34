"""Measurements: `python -m bench NAME`, each printing its results on this machine. No test asserts on a figure."""

"""Reads that are passed through to a given exchange, and what came back, without secrets."""

"""Loads, verifies and unloads models while the service runs."""

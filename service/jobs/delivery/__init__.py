"""Callbacks of finished jobs: what is due, whose turn it is, and the requests."""

"""Logs, metrics and traces. Knows nothing of the work that it records."""

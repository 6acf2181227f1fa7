"""Measures the service against what a user might pick instead, on the machine at hand."""

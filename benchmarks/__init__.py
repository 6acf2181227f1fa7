"""Benchmarks of the service against alternatives, within one run on one machine."""

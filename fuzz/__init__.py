"""Fuzzers. The first line of each states the property that it tests."""

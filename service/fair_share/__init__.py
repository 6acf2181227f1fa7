"""Shares slots, decode workers and models between callers by the seconds that each has used."""

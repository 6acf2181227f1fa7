"""The chaos test: parts of a running service are killed, frozen and taken away: `python -m tests.chaos`."""

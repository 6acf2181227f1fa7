"""The soak test: mixed traffic against one service for a long time. `python -m tests.soak --minutes 30`."""

"""One file per training run: its data, its command, its hardware and what came of it."""

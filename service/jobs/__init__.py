"""Jobs: predictions that are stored in a database, run in the background, and resumed after a crash."""

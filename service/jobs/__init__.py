"""Predictions that outlive their requests: kept in a database, run by whoever is free, found again after a crash."""

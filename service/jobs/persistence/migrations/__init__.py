"""Migrations of the tables, run by `service.jobs.persistence.database`."""

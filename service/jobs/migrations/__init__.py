"""What has become of the tables, step by step; run by `service.jobs.database`."""

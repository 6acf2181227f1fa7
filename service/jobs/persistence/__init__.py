"""The database of jobs: connections, tables, faults and clock."""

"""The command `framewise`."""

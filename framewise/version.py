"""The version of both distributions, `framewise` and `framewise-server`."""

__version__ = "1.0.0rc1"

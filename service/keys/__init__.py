"""API keys: the key file, its command line, authorization and rate limits. Knows no HTTP."""

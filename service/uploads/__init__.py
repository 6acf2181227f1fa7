"""Receives videos as uploads or by URL, under limits of bytes and time. Knows no decoder and no model."""

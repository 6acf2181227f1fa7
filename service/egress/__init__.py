"""Outgoing HTTP requests to allowed hosts only. Knows no video and no job."""
